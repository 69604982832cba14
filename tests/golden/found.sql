SELECT
  s._from,
  COUNT(t.trade_id) AS found,
  COUNT_IF(t.trade_id IS NULL) AS missing,
  COUNT_IF(t.ingest_ts = CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)) AS inserted
FROM batch AS s
LEFT JOIN schemahub.schemahub.trades_unified.branch_run_1 AS t
  ON t.exchange = s.exchange
  AND t.symbol = s.symbol
  AND t.trade_id = s.trade_id
  AND (
    t.trade_ts BETWEEN CAST('2023-02-08T00:00:00.000000Z' AS TIMESTAMP) AND CAST('2023-02-08T23:59:59.999999Z' AS TIMESTAMP)
    OR t.trade_ts BETWEEN CAST('2024-02-08T00:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T23:59:59.999999Z' AS TIMESTAMP)
  )
  AND t.trade_id BETWEEN '1000' AND '999'
GROUP BY
  s._from
