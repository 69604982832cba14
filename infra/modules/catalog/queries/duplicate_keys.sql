-- Keys that are there twice, of the last two days: there should be none
SELECT exchange, symbol, trade_id, count(*) AS copies
FROM trades_unified
WHERE trade_ts > current_timestamp - INTERVAL '2' DAY
GROUP BY exchange, symbol, trade_id
HAVING count(*) > 1
