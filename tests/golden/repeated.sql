SELECT
  t.exchange,
  t.symbol,
  t.trade_id,
  COUNT(*) AS copies
FROM schemahub.schemahub.trades_unified.branch_run_1 AS t
WHERE
  (
    t.trade_ts BETWEEN CAST('2023-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2023-02-08T16:00:00.000000Z' AS TIMESTAMP)
    OR t.trade_ts BETWEEN CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
  )
  AND t.trade_id BETWEEN '1000' AND '999'
GROUP BY
  t.exchange,
  t.symbol,
  t.trade_id
HAVING
  COUNT(*) > 1
  AND COUNT_IF(t.ingest_ts = CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)) > 0
