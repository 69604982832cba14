-- The last runs: rows, requests, lag, and what went wrong
SELECT started_at, job, source, status, rows, quarantined, requests, retries, seconds, lag_seconds, error
FROM schemahub_runs
WHERE started_at > current_timestamp - INTERVAL '1' DAY
ORDER BY started_at DESC
LIMIT 200
