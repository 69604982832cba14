data "aws_caller_identity" "current" {}

locals {
  name     = "schemahub-${var.environment}"
  database = "schemahub_${var.environment}"

  # The warehouse bucket's name, which those of the other buckets begin with.
  bucket = "${local.name}-${data.aws_caller_identity.current.account_id}"
  params = jsondecode(templatefile("${path.module}/../glue_job_params.json", { bucket = local.bucket }))
  jobs = {
    for name, job in local.params.jobs :
    name => merge(local.params.defaults, job, { arguments = merge(local.params.defaults.arguments, job.arguments) })
  }
  warehouse = local.params.defaults.arguments["--warehouse"]
  sources   = [for name in keys(local.jobs) : trimprefix(name, "ingest_") if startswith(name, "ingest_")]

  log_group_prefix = "/schemahub/${var.environment}"
  fargate          = var.orchestration == "fargate"

  # What the library reads from the environment and glue_job_params.json cannot know.
  settings = merge(
    { SCHEMAHUB_DATABASE = local.database },
    { for exchange, name in module.iam.secret_names : "SCHEMAHUB_${upper(exchange)}_SECRET_ID" => name },
  )
}

module "storage" {
  source = "./modules/storage"

  name        = local.name
  bucket      = local.bucket
  destroyable = var.destroyable
}

module "catalog" {
  source = "./modules/catalog"

  name              = local.name
  database          = local.database
  warehouse         = local.warehouse
  buckets           = module.storage.buckets
  key_arn           = module.storage.key_arn
  scan_limit_gb     = var.athena_scan_limit_gb
  compacted_by_glue = var.compacted_by_glue
  destroyable       = var.destroyable
}

module "iam" {
  source = "./modules/iam"

  name                = local.name
  jobs                = keys(local.jobs)
  fargate             = local.fargate
  sources             = local.sources
  exchanges_with_keys = var.exchanges_with_keys
  database            = local.database
  warehouse           = local.warehouse
  buckets             = module.storage.buckets
  key_arn             = module.storage.key_arn
  log_group_prefix    = local.log_group_prefix
  destroyable         = var.destroyable
}

module "jobs" {
  source = "./modules/jobs"

  name               = local.name
  jobs               = local.jobs
  role_arns          = module.iam.role_arns
  settings           = local.settings
  bundled_modules    = var.bundled_modules
  artifacts_bucket   = module.storage.buckets.artifacts.name
  key_arn            = module.storage.key_arn
  log_group_prefix   = local.log_group_prefix
  log_retention_days = var.log_retention_days
}

module "schedule" {
  source = "./modules/schedule"

  name          = local.name
  orchestration = var.orchestration
  enabled       = var.schedules_enabled
  schedules     = { for name, job in local.jobs : name => job.schedule if job.schedule != null }
  job_names     = module.jobs.names
}

module "network" {
  source = "./modules/network"
  count  = local.fargate && var.network == null ? 1 : 0

  name = local.name
}

module "ecs" {
  source = "./modules/ecs"
  count  = local.fargate ? 1 : 0

  name               = local.name
  enabled            = var.schedules_enabled
  role_arn           = module.iam.role_arns["fargate"]
  settings           = merge(local.settings, { SCHEMAHUB_PROFILE = "glue", SCHEMAHUB_WAREHOUSE = local.warehouse })
  network            = var.network == null ? one(module.network[*].network) : var.network
  image_tag          = var.image_tag
  key_arn            = module.storage.key_arn
  log_group_prefix   = local.log_group_prefix
  log_retention_days = var.log_retention_days
  destroyable        = var.destroyable
}

module "alarms" {
  source = "./modules/alarms"

  name                 = local.name
  database             = local.database
  sources              = local.sources
  job_names            = values(module.jobs.names)
  clusters             = module.ecs[*].cluster_arn
  log_groups           = merge(module.jobs.log_groups, { for group in module.ecs[*].log_group : "fargate" => group })
  expect_runs          = var.schedules_enabled
  key_arn              = module.storage.key_arn
  emails               = var.alarm_emails
  stale_after_minutes  = var.stale_after_minutes
  quarantined_per_hour = var.quarantined_per_hour
  monthly_budget_usd   = var.monthly_budget_usd
}
