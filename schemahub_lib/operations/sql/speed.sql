WITH span AS (
  SELECT 60 * greatest(1, ceil(date_diff('minute', min(started_at), max(started_at)) / 200.0)) AS width
  FROM schemahub_runs
)
SELECT
  from_unixtime(floor(to_unixtime(started_at) / width) * width) AS time,
  concat(job, ' ', source) AS run,
  sum(rows) / sum(seconds) AS rows_a_second
FROM schemahub_runs
CROSS JOIN span
WHERE rows > 0 AND seconds > 0
GROUP BY 1, 2
ORDER BY time, run
