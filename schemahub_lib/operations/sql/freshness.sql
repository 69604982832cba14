SELECT
  concat(source, ' ', stream) AS stream,
  last_ts AS newest_trade,
  date_diff('second', last_ts, current_timestamp) / 6e1 AS minutes_old,
  updated_at
FROM schemahub_watermarks
WHERE last_ts IS NOT NULL
ORDER BY last_ts, stream
LIMIT 60
