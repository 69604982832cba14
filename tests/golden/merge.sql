MERGE INTO schemahub.schemahub.trades_unified.branch_run_1 AS t
USING batch AS s
ON t.exchange = s.exchange
AND t.symbol = s.symbol
AND t.trade_id = s.trade_id
AND (
  t.trade_ts BETWEEN CAST('2023-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2023-02-08T16:00:00.000000Z' AS TIMESTAMP)
  OR t.trade_ts BETWEEN CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
)
AND t.trade_id BETWEEN '1000' AND '999'
WHEN NOT MATCHED THEN INSERT (
  exchange,
  symbol,
  trade_id,
  side,
  price,
  quantity,
  trade_ts,
  ingest_ts,
  canonical_symbol,
  base_asset,
  quote_asset
) VALUES (
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
  s.quote_asset
)
