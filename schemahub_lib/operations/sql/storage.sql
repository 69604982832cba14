SELECT
  'each_table' AS name,
  trades,
  bytes_a_line * trades / 1e6 AS jsonl_mb,
  parquet_bytes / 1e6 AS parquet_mb,
  bytes_a_line * trades / parquet_bytes AS times_smaller
FROM (
  SELECT avg(length(_raw_payload) + 1) AS bytes_a_line
  FROM each_table
  WHERE each_time >= CAST('each_start' AS TIMESTAMP WITH TIME ZONE)
) AS json
CROSS JOIN (
  SELECT sum(record_count) AS trades, sum(file_size_in_bytes) AS parquet_bytes
  FROM "each_table$files"
  WHERE content = 0
) AS parquet
WHERE bytes_a_line > 0
ORDER BY jsonl_mb DESC
