-- Age of each exchange's newest trade, in seconds
SELECT
  exchange,
  max(trade_ts) AS newest,
  date_diff('second', max(trade_ts), current_timestamp) AS lag_seconds
FROM trades_unified
WHERE trade_ts > current_timestamp - INTERVAL '1' DAY
GROUP BY exchange
ORDER BY lag_seconds DESC
