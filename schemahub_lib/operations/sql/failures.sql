SELECT started_at, job, source, status, error
FROM schemahub_runs
WHERE status IN ('failed', 'partial', 'interrupted')
ORDER BY started_at DESC
LIMIT 50
