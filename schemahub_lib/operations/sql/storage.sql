SELECT
  'each_table' AS name,
  trades,
  json_bytes / 1e6 AS jsonl_mb,
  parquet_bytes / 1e6 AS parquet_mb,
  1e0 * json_bytes / parquet_bytes AS times_smaller
FROM (SELECT count(_raw_payload) AS trades, sum(length(_raw_payload) + 1) AS json_bytes FROM each_table) AS json
CROSS JOIN (
  SELECT sum(file_size_in_bytes) AS parquet_bytes FROM "each_table$files" WHERE content = 0
) AS parquet
WHERE json_bytes > 0
ORDER BY jsonl_mb DESC
