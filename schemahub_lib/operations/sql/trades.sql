SELECT exchange, coalesce(canonical_symbol, symbol) AS product, count(*) AS trades, max(trade_ts) AS newest
FROM trades_unified
GROUP BY 1, 2
ORDER BY trades DESC, exchange, product
LIMIT 60
