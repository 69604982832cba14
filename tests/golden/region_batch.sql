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
      ON p.source = r._source AND p.symbol = r.symbol
  ) AS increments
  WHERE
    (
      exchange IN ('BINANCE')
      AND trade_ts >= CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)
      AND trade_ts < CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
      AND (
        symbol IN ('BTC-USD') OR canonical_symbol IN ('BTC-USD')
      )
    )
    OR EXISTS(
      SELECT
        1
      FROM elsewhere AS k
      WHERE
        increments.exchange = k.exchange
        AND increments.symbol = k.symbol
        AND increments.trade_id = k.trade_id
    )
) AS ranked
