SELECT
  exchange,
  symbol,
  COUNT_IF(trade_ts < CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)) AS before,
  COUNT_IF(trade_ts >= CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)) AS since,
  CAST(AVG(
    CASE
      WHEN trade_ts < CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)
      THEN price
    END
  ) AS DOUBLE) AS price_before,
  CAST(AVG(
    CASE
      WHEN trade_ts >= CAST('2024-02-08T15:00:00.000000Z' AS TIMESTAMP)
      THEN price
    END
  ) AS DOUBLE) AS price_since,
  UNIX_MICROS(MIN(trade_ts)) AS first_ts
FROM schemahub.schemahub.trades_unified.branch_run_1 AS t
WHERE
  trade_ts BETWEEN CAST('2023-02-08T15:00:00.000000Z' AS TIMESTAMP) AND CAST('2024-02-08T16:00:00.000000Z' AS TIMESTAMP)
GROUP BY
  exchange,
  symbol
