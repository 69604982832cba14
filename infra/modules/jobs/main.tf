locals {
  repository = "${path.module}/../../.."
  # What `make package` makes; jobs find it by --extra-py-files.
  package = "dist/schemahub_lib.zip"
  # What `make wheels` makes, under the name by which Glue knows a zip of wheels.
  wheels = "dist/schemahub.gluewheels.zip"
  # Glue 5 writes a script's own output, logs among it, to one group and Spark's to another.
  log_groups = { for kind in ["output", "error"] : kind => "${var.log_group_prefix}/glue/${kind}" }
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:A year is the default; environments that are not production keep their logs for less
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_s3_object" "script" {
  for_each = var.jobs

  bucket      = var.artifacts_bucket
  key         = each.value.script
  source      = "${local.repository}/${each.value.script}"
  source_hash = filemd5("${local.repository}/${each.value.script}")
  kms_key_id  = var.key_arn
}

resource "aws_s3_object" "package" {
  bucket      = var.artifacts_bucket
  key         = basename(local.package)
  source      = "${local.repository}/${local.package}"
  source_hash = filemd5("${local.repository}/${local.package}")
  kms_key_id  = var.key_arn
}

resource "aws_s3_object" "wheels" {
  count = var.bundled_modules ? 1 : 0

  bucket      = var.artifacts_bucket
  key         = basename(local.wheels)
  source      = "${local.repository}/${local.wheels}"
  source_hash = filemd5("${local.repository}/${local.wheels}")
  kms_key_id  = var.key_arn
}

resource "aws_glue_job" "this" {
  # checkov:skip=CKV_AWS_195:Buckets and log groups encrypt by themselves, and there are no bookmarks
  for_each = var.jobs

  name              = "${var.name}-${each.key}"
  description       = each.value.description
  role_arn          = var.role_arns[each.key]
  glue_version      = each.value.glue_version
  worker_type       = each.value.worker_type
  number_of_workers = each.value.number_of_workers
  timeout           = each.value.timeout_minutes
  max_retries       = each.value.max_retries

  command {
    name            = "glueetl"
    script_location = "s3://${var.artifacts_bucket}/${aws_s3_object.script[each.key].key}"
    python_version  = "3"
  }

  execution_property {
    max_concurrent_runs = each.value.max_concurrent_runs
  }

  default_arguments = merge(
    each.value.arguments,
    { for variable, value in var.settings : "--${variable}" => value },
    { "--custom-logGroup-prefix" = "${var.log_group_prefix}/glue" },
    {
      for object in aws_s3_object.wheels[*] :
      "--additional-python-modules" => "s3://${var.artifacts_bucket}/${object.key}"
    },
    { for object in aws_s3_object.wheels[*] : "--python-modules-installer-option" => "--no-index" },
  )

  depends_on = [aws_s3_object.package, aws_cloudwatch_log_group.this]
}
