SELECT
  exchange,
  symbol,
  trade_id
FROM batch
UNION
SELECT
  exchange,
  symbol,
  trade_id
FROM schemahub.schemahub.trades_unified.branch_run_1 AS t
WHERE
  exchange IN ('BINANCE')
  AND trade_ts >= CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)
  AND trade_ts < CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
  AND (
    symbol IN ('BTC-USD') OR canonical_symbol IN ('BTC-USD')
  )
