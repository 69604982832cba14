SELECT
  'BINANCE' AS exchange,
  r.symbol AS symbol,
  r.id AS trade_id,
  CASE r.is_buyer_maker WHEN FALSE THEN 'BUY' WHEN TRUE THEN 'SELL' END AS side,
  r.price AS price,
  r.qty AS quantity,
  r.time AS trade_ts,
  CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP) AS ingest_ts,
  p.canonical_symbol AS canonical_symbol,
  p.base_asset AS base_asset,
  p.quote_asset AS quote_asset
FROM increment AS r
LEFT JOIN schemahub.schemahub.schemahub_products AS p
  ON p.source = r._source AND p.symbol = r.symbol AND p.replaced_at IS NULL
