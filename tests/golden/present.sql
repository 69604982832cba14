SELECT
  *
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
    COUNT(*) OVER (PARTITION BY exchange, symbol, trade_id) AS _copies,
    MIN(trade_ts) OVER (PARTITION BY exchange, symbol, trade_id) AS _first_ts,
    MAX(trade_ts) OVER (PARTITION BY exchange, symbol, trade_id) AS _last_ts,
    ROW_NUMBER() OVER (
      PARTITION BY exchange, symbol, trade_id
      ORDER BY exchange NULLS LAST, symbol NULLS LAST, trade_id NULLS LAST, side NULLS LAST, price NULLS LAST, quantity NULLS LAST, trade_ts NULLS LAST, ingest_ts NULLS LAST, canonical_symbol NULLS LAST, base_asset NULLS LAST, quote_asset NULLS LAST
    ) AS _number
  FROM schemahub.schemahub.trades_unified.branch_run_1 AS t
  WHERE
    EXISTS(
      SELECT
        1
      FROM touched AS k
      WHERE
        t.exchange = k.exchange AND t.symbol = k.symbol AND t.trade_id = k.trade_id
    )
) AS present
WHERE
  _number = 1
