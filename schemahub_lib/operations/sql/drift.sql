SELECT source, stream, field, kind, expected, seen, count, looked_at, first_seen, last_seen
FROM schemahub_drift
ORDER BY last_seen DESC, source, stream, field
LIMIT 100
