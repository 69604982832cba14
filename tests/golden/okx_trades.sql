SELECT
  'OKX' AS exchange,
  r.inst_id AS symbol,
  r.trade_id AS trade_id,
  UPPER(r.side) AS side,
  r.px AS price,
  r.sz AS quantity,
  r.ts AS trade_ts,
  CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP) AS ingest_ts,
  p.canonical_symbol AS canonical_symbol,
  p.base_asset AS base_asset,
  p.quote_asset AS quote_asset
FROM increment AS r
LEFT JOIN schemahub.schemahub.schemahub_products AS p
  ON p.source = r._source AND p.symbol = r.inst_id AND p.replaced_at IS NULL
