output "buckets" {
  description = "Names of the buckets: warehouse (tables), artifacts (scripts, query results) and landing (objects)."
  value       = { for use, bucket in module.storage.buckets : use => bucket.name }
}

output "database" {
  description = "The Glue database of the tables: SCHEMAHUB_DATABASE for a command line on the same lake."
  value       = local.database
}

output "warehouse" {
  description = "Where the tables lie: SCHEMAHUB_WAREHOUSE for a command line on the same lake."
  value       = local.warehouse
}

output "job_names" {
  description = "Glue's name of each job of glue_job_params.json."
  value       = module.jobs.names
}

output "athena_workgroup" {
  description = "The Athena workgroup with the scan limit and the named queries."
  value       = module.catalog.workgroup
}

output "topic_arn" {
  description = "The SNS topic that every alarm is sent to."
  value       = module.alarms.topic_arn
}

output "image_repository" {
  description = "Where to push the container image to; null unless orchestration is fargate."
  value       = one(module.ecs[*].repository_url)
}
