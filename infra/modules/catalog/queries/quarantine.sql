-- Why rows were set aside in the last week, with one payload of each kind
SELECT source, reason, count(*) AS findings, max(quarantined_at) AS latest, arbitrary(payload) AS example
FROM schemahub_quarantine
WHERE quarantined_at > current_timestamp - INTERVAL '7' DAY
GROUP BY source, reason
ORDER BY findings DESC
