SELECT
  source,
  reason,
  count(DISTINCT quarantine_id) AS findings,
  min(quarantined_at) AS first_found,
  max(quarantined_at) AS last_found,
  substr(min(payload), 1, 200) AS example
FROM schemahub_quarantine
GROUP BY source, reason
ORDER BY findings DESC, source, reason
LIMIT 40
