WITH span AS (
  SELECT 60 * greatest(1, ceil(date_diff('minute', min(started_at), max(started_at)) / 200.0)) AS width
  FROM schemahub_runs
)
SELECT
  from_unixtime(floor(to_unixtime(started_at) / width) * width) AS time,
  source,
  max(lag_seconds) AS lag_seconds
FROM schemahub_runs
CROSS JOIN span
WHERE lag_seconds IS NOT NULL
GROUP BY 1, 2
ORDER BY time, source
