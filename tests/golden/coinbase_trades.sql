SELECT
  'COINBASE' AS exchange,
  r.product_id AS symbol,
  r.trade_id AS trade_id,
  CASE UPPER(TRIM(r.side)) WHEN 'SELL' THEN 'BUY' WHEN 'BUY' THEN 'SELL' END AS side,
  r.price AS price,
  r.size AS quantity,
  r.time AS trade_ts,
  CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP) AS ingest_ts,
  p.canonical_symbol AS canonical_symbol,
  p.base_asset AS base_asset,
  p.quote_asset AS quote_asset
FROM increment AS r
LEFT JOIN schemahub.schemahub.schemahub_products AS p
  ON p.source = r._source AND p.symbol = r.product_id AND p.replaced_at IS NULL
