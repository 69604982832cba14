SELECT
  _from,
  COUNT(*) AS read,
  COUNT_IF(_rank = 1) AS rows,
  COUNT_IF(_rank > 1 AND _differs) AS versions,
  COUNT_IF(
    _rank = 1
    AND (
      exchange IS NULL
      OR symbol IS NULL
      OR trade_id IS NULL
      OR price IS NULL
      OR quantity IS NULL
      OR trade_ts IS NULL
      OR ingest_ts IS NULL
    )
  ) AS not_null,
  COUNT_IF(
    _rank = 1
    AND (
      NOT (
        price > 0 AND price < CAST('Infinity' AS DOUBLE)
      )
      OR NOT (
        quantity > 0 AND quantity < CAST('Infinity' AS DOUBLE)
      )
    )
  ) AS positive,
  COUNT_IF(
    _rank = 1
    AND NOT trade_ts BETWEEN CAST('2009-01-03T00:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T16:05:00.000000Z' AS TIMESTAMP)
  ) AS time_bounds,
  COUNT_IF(_rank = 1 AND NOT side IN ('BUY', 'SELL')) AS allowed_values,
  UNIX_MICROS(MIN(trade_ts)) AS min_ts,
  UNIX_MICROS(MAX(trade_ts)) AS max_ts,
  MIN(trade_id) AS min_id,
  MAX(trade_id) AS max_id
FROM batch
GROUP BY
  _from,
  DATE_TRUNC('DAY', trade_ts)
