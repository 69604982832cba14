-- Trades and volume an hour, per exchange and pair, of the last day
SELECT
  exchange,
  canonical_symbol,
  date_trunc('hour', trade_ts) AS hour,
  count(*) AS trades,
  sum(quantity) AS volume,
  sum(price * quantity) / sum(quantity) AS average_price
FROM trades_unified
WHERE trade_ts > current_timestamp - INTERVAL '1' DAY
GROUP BY exchange, canonical_symbol, date_trunc('hour', trade_ts)
ORDER BY hour DESC, trades DESC
