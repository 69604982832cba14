SELECT
  'each_table' AS name,
  from_unixtime(floor(to_unixtime(committed_at) / width) * width) AS time,
  max_by(CAST(element_at(summary, 'total-data-files') AS BIGINT), committed_at) AS files,
  max_by(CAST(element_at(summary, 'total-files-size') AS BIGINT), committed_at) / 1e6 AS size_mb
FROM "each_table$snapshots"
CROSS JOIN (
  SELECT 60 * greatest(1, ceil(date_diff('minute', min(committed_at), max(committed_at)) / 200.0)) AS width
  FROM "each_table$snapshots"
) AS span
WHERE element_at(summary, 'total-data-files') <> '0'
GROUP BY 2
ORDER BY name, time
