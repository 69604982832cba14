SELECT
  *
FROM (
  SELECT
    CASE
      WHEN t.trade_id IS NULL
      THEN 'insert'
      WHEN s.trade_id IS NULL
      THEN 'remove'
      WHEN t._copies > 1
      OR (
        s.side IS DISTINCT FROM t.side
        OR s.price IS DISTINCT FROM t.price
        OR s.quantity IS DISTINCT FROM t.quantity
        OR s.trade_ts IS DISTINCT FROM t.trade_ts
        OR s.canonical_symbol IS DISTINCT FROM t.canonical_symbol
        OR s.base_asset IS DISTINCT FROM t.base_asset
        OR s.quote_asset IS DISTINCT FROM t.quote_asset
      )
      THEN 'change'
    END AS _op,
    COALESCE(s.exchange, t.exchange) AS exchange,
    COALESCE(s.symbol, t.symbol) AS symbol,
    COALESCE(s.trade_id, t.trade_id) AS trade_id,
    s.side,
    s.price,
    s.quantity,
    s.trade_ts,
    s.ingest_ts,
    s.canonical_symbol,
    s.base_asset,
    s.quote_asset,
    t.side AS old_side,
    t.price AS old_price,
    t.quantity AS old_quantity,
    t.trade_ts AS old_trade_ts,
    t._first_ts,
    t._last_ts
  FROM batch AS s
  FULL OUTER JOIN present AS t
    ON t.exchange = s.exchange AND t.symbol = s.symbol AND t.trade_id = s.trade_id
) AS changes
WHERE
  NOT _op IS NULL
