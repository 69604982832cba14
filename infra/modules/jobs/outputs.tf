output "names" {
  description = "Glue's name of each job."
  value       = { for job, resource in aws_glue_job.this : job => resource.name }
}

output "log_groups" {
  description = "Names of the log groups: output has the jobs' own lines, error Spark's."
  value       = { for kind, group in aws_cloudwatch_log_group.this : kind => group.name }
}
