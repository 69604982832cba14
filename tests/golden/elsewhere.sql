SELECT
  exchange,
  symbol,
  trade_id
FROM present AS t
WHERE
  NOT EXISTS(
    SELECT
      1
    FROM batch AS k
    WHERE
      t.exchange = k.exchange AND t.symbol = k.symbol AND t.trade_id = k.trade_id
  )
  OR NOT COALESCE(
    (
      exchange IN ('BINANCE')
      AND trade_ts >= CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)
      AND trade_ts < CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
      AND (
        symbol IN ('BTC-USD') OR canonical_symbol IN ('BTC-USD')
      )
    ),
    FALSE
  )
