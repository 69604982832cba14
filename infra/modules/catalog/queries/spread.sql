-- Where exchanges disagree most: average prices of one pair in one minute, of the last hour
WITH minutes AS (
  SELECT
    canonical_symbol,
    exchange,
    date_trunc('minute', trade_ts) AS minute,
    avg(price) AS price
  FROM trades_unified
  WHERE trade_ts > current_timestamp - INTERVAL '1' HOUR
  GROUP BY canonical_symbol, exchange, date_trunc('minute', trade_ts)
)
SELECT
  canonical_symbol,
  minute,
  min_by(exchange, price) AS cheapest,
  max_by(exchange, price) AS dearest,
  10000 * (max(price) - min(price)) / min(price) AS basis_points
FROM minutes
GROUP BY canonical_symbol, minute
HAVING count(*) > 1
ORDER BY basis_points DESC
LIMIT 100
