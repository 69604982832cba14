SELECT
  job,
  source,
  count(*) AS runs,
  1e2 * count_if(status IN ('ok', 'nothing_new')) / count(*) AS success_percent,
  count_if(status = 'partial') AS partial,
  count_if(status = 'failed') AS failed,
  count_if(status = 'interrupted') AS interrupted,
  sum(retries) AS retries,
  avg(seconds) AS average_seconds,
  max(started_at) AS last_run
FROM schemahub_runs
GROUP BY job, source
ORDER BY success_percent, job, source
