SELECT
  s.exchange,
  s.symbol,
  s.trade_id,
  s.side,
  s.price,
  s.quantity,
  s.trade_ts,
  s.ingest_ts,
  s.canonical_symbol,
  s.base_asset,
  s.quote_asset,
  s._from,
  s._rank
FROM batch AS s
LEFT SEMI JOIN schemahub.schemahub.trades_unified.branch_run_1 AS t
  ON t.exchange = s.exchange
  AND t.symbol = s.symbol
  AND t.trade_id = s.trade_id
  AND (
    t.trade_ts BETWEEN CAST('2023-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2023-02-08T16:00:00.000000Z' AS TIMESTAMP)
    OR t.trade_ts BETWEEN CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
  )
  AND t.trade_id BETWEEN '1000' AND '999'
  AND (
    s.side IS DISTINCT FROM t.side
    OR s.price IS DISTINCT FROM t.price
    OR s.quantity IS DISTINCT FROM t.quantity
    OR COALESCE(ABS(UNIX_MICROS(s.trade_ts) - UNIX_MICROS(t.trade_ts)) > 1000000, TRUE)
  )
WHERE
  s._from IN ('raw_kraken_trades')
