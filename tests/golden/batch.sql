SELECT
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
  quote_asset,
  _from,
  _rank,
  side IS DISTINCT FROM _first.side
  OR price IS DISTINCT FROM _first.price
  OR quantity IS DISTINCT FROM _first.quantity
  OR COALESCE(ABS(UNIX_MICROS(trade_ts) - UNIX_MICROS(_first.trade_ts)) > 1000000, TRUE) AS _differs
FROM (
  SELECT
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
    quote_asset,
    _from,
    ROW_NUMBER() OVER (
      PARTITION BY exchange, symbol, trade_id
      ORDER BY _order NULLS LAST, trade_ts NULLS LAST, side NULLS LAST, price NULLS LAST, quantity NULLS LAST, canonical_symbol NULLS LAST, base_asset NULLS LAST, quote_asset NULLS LAST
    ) AS _rank,
    FIRST_VALUE(STRUCT(side, price, quantity, trade_ts)) OVER (
      PARTITION BY exchange, symbol, trade_id
      ORDER BY _order NULLS LAST, trade_ts NULLS LAST, side NULLS LAST, price NULLS LAST, quantity NULLS LAST, canonical_symbol NULLS LAST, base_asset NULLS LAST, quote_asset NULLS LAST
    ) AS _first
  FROM (
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
      p.quote_asset AS quote_asset,
      'raw_binance_trades' AS _from,
      UNIX_MICROS(r._source_ingest_ts) AS _order
    FROM increment_0 AS r
    LEFT JOIN schemahub.schemahub.schemahub_products AS p
      ON p.source = r._source AND p.symbol = r.symbol AND p.replaced_at IS NULL
    UNION ALL
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
      p.quote_asset AS quote_asset,
      'raw_coinbase_trades' AS _from,
      UNIX_MICROS(r._source_ingest_ts) AS _order
    FROM increment_1 AS r
    LEFT JOIN schemahub.schemahub.schemahub_products AS p
      ON p.source = r._source AND p.symbol = r.product_id AND p.replaced_at IS NULL
    UNION ALL
    SELECT
      'KRAKEN' AS exchange,
      r.pair AS symbol,
      r.trade_id AS trade_id,
      CASE UPPER(TRIM(r.side)) WHEN 'B' THEN 'BUY' WHEN 'S' THEN 'SELL' END AS side,
      r.price AS price,
      r.volume AS quantity,
      r.time AS trade_ts,
      CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP) AS ingest_ts,
      p.canonical_symbol AS canonical_symbol,
      p.base_asset AS base_asset,
      p.quote_asset AS quote_asset,
      'raw_kraken_trades' AS _from,
      UNIX_MICROS(r._source_ingest_ts) AS _order
    FROM increment_2 AS r
    LEFT JOIN schemahub.schemahub.schemahub_products AS p
      ON p.source = r._source AND p.symbol = r.pair AND p.replaced_at IS NULL
    UNION ALL
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
      p.quote_asset AS quote_asset,
      'raw_okx_trades' AS _from,
      UNIX_MICROS(r._source_ingest_ts) AS _order
    FROM increment_3 AS r
    LEFT JOIN schemahub.schemahub.schemahub_products AS p
      ON p.source = r._source AND p.symbol = r.inst_id AND p.replaced_at IS NULL
  ) AS increments
) AS ranked
