SELECT
  concat('each_source', ' ', symbol) AS stream,
  hour,
  trades,
  missing,
  1e2 * trades / (trades + missing) AS complete_percent
FROM (
  SELECT *, dense_rank() OVER (ORDER BY worst DESC, symbol) AS place
  FROM (
    SELECT *, max(missing) OVER (PARTITION BY symbol) AS worst
    FROM (
      SELECT symbol, hour, count(*) AS trades, coalesce(sum(id - previous - 1), 0) AS missing
      FROM (
        SELECT symbol, hour, id, lag(id) OVER (PARTITION BY symbol ORDER BY id) AS previous
        FROM (
          SELECT each_symbol AS symbol, TRY_CAST(each_id AS BIGINT) AS id, date_trunc('hour', min(each_time)) AS hour
          FROM each_table
          WHERE each_time >= CAST('each_start' AS TIMESTAMP WITH TIME ZONE)
          GROUP BY 1, 2
        ) AS trades
        WHERE id IS NOT NULL
      ) AS steps
      GROUP BY symbol, hour
    ) AS hours
  ) AS streams
) AS ranked
WHERE place <= 20
ORDER BY stream, hour
