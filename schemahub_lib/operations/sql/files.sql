SELECT
  'each_table' AS name,
  sum(record_count) AS rows,
  count(*) AS files,
  sum(file_size_in_bytes) / 1e6 AS size_mb,
  avg(file_size_in_bytes) / 1e6 AS average_file_mb
FROM "each_table$files"
WHERE content = 0
HAVING count(*) > 0
ORDER BY size_mb DESC
