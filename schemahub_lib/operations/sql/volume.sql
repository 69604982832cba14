WITH span AS (
  SELECT 60 * greatest(1, ceil(date_diff('minute', min(started_at), max(started_at)) / 200.0)) AS width
  FROM schemahub_runs
),
gains AS (
  SELECT
    replace(replace(source, 'raw_', ''), '_trades', '') AS exchange,
    from_unixtime(floor(to_unixtime(started_at) / width) * width) AS time,
    sum(rows) AS gained
  FROM schemahub_runs
  CROSS JOIN span
  WHERE
    (job IN ('ingest', 'record', 'backfill', 'load') AND source NOT LIKE 'raw%books')
    OR (job = 'rollback' AND source LIKE 'raw%trades')
  GROUP BY 1, 2
)
SELECT time, exchange, sum(gained) OVER (PARTITION BY exchange ORDER BY time) AS trades
FROM gains
ORDER BY time, exchange
