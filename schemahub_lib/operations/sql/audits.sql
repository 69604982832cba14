SELECT
  audit,
  status,
  count(*) AS times,
  max(audited_at) AS last_audited,
  max_by(concat(source, ': ', message), audited_at) AS last_message
FROM schemahub_audits
GROUP BY audit, status
ORDER BY audit, status
