WITH span AS (
  SELECT 60 * greatest(1, ceil(date_diff('minute', min(started_at), max(started_at)) / 60.0)) AS width
  FROM schemahub_runs
)
SELECT from_unixtime(floor(to_unixtime(started_at) / width) * width) AS time, status, count(*) AS runs
FROM schemahub_runs
CROSS JOIN span
GROUP BY 1, 2
ORDER BY time, status
