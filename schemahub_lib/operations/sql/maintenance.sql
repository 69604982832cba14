SELECT 'each_table' AS name, files, size_mb / files AS average_file_mb, snapshots, oldest_snapshot, last_maintained
FROM (
  SELECT count(*) AS files, sum(file_size_in_bytes) / 1e6 AS size_mb FROM "each_table$files" WHERE content = 0
) AS data
CROSS JOIN (
  SELECT count(*) AS snapshots, min(committed_at) AS oldest_snapshot FROM "each_table$snapshots"
) AS history
CROSS JOIN (
  SELECT max(started_at) AS last_maintained
  FROM schemahub_runs
  WHERE job = 'maintain' AND source = 'each_table' AND status <> 'failed'
) AS upkeep
WHERE files > 0
ORDER BY name
