data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account = "${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
  glue    = "arn:aws:glue:${local.account}"
  folder  = "arn:aws:s3:::${trimprefix(var.warehouse, "s3://")}"

  # An ingest job has its raw tables and the ledgers; the others read and tag or rewrite every table.
  ingest = {
    for source in var.sources :
    "ingest_${source}" => {
      tables  = ["raw_${source}_*", "schemahub_*"]
      keys_of = [source]
      lands   = false
      service = "glue"
    }
  }
  others = {
    for job in setsubtract(var.jobs, keys(local.ingest)) :
    job => {
      tables  = ["*"]
      keys_of = contains(["unify", "maintain"], job) ? [] : tolist(var.sources)
      lands   = contains(["backfill", "land"], job)
      service = "glue"
    }
  }
  task = { fargate = { tables = ["*"], keys_of = tolist(var.sources), lands = false, service = "ecs-tasks" } }

  runners = merge(local.ingest, local.others, var.fargate ? local.task : {})
  # The secrets that each may read.
  secrets = {
    for runner, access in local.runners :
    runner => [for name, secret in aws_secretsmanager_secret.exchange : secret.arn if contains(access.keys_of, name)]
  }
}

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["glue", "ecs-tasks"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.value}.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "runner" {
  for_each = local.runners

  name               = "${var.name}-${each.key}"
  description        = "What ${each.key} of SchemaHub may do"
  assume_role_policy = data.aws_iam_policy_document.assumed_by[each.value.service].json
}

resource "aws_iam_role_policy" "runner" {
  for_each = local.runners

  name   = "schemahub"
  role   = aws_iam_role.runner[each.key].id
  policy = data.aws_iam_policy_document.runner[each.key].json
}

data "aws_iam_policy_document" "runner" {
  for_each = local.runners

  statement {
    sid = "Catalog"
    actions = [
      "glue:CreateDatabase", # asked for before each new table; the answer is that it is there
      "glue:CreateTable",
      "glue:GetDatabase",
      "glue:GetTable",
      "glue:GetTables",
      "glue:UpdateTable",
    ]
    resources = concat(
      ["${local.glue}:catalog", "${local.glue}:database/${var.database}"],
      [for table in each.value.tables : "${local.glue}:table/${var.database}/${table}"],
    )
  }

  statement {
    sid     = "Tables"
    actions = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = concat(
      [for table in each.value.tables : "${local.folder}/${var.database}.db/${table}/*"],
      [for table in each.value.tables : "${local.folder}/_locks/${var.database}.${table}.json"],
    )
  }

  statement {
    sid     = "Buckets"
    actions = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = concat(
      [var.buckets.warehouse.arn, var.buckets.artifacts.arn],
      each.value.lands ? [var.buckets.landing.arn] : [],
    )
  }

  statement {
    sid       = "Artifacts"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets.artifacts.arn}/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }

  dynamic "statement" {
    for_each = each.value.lands ? ["Landing"] : []

    content {
      sid       = statement.value
      actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      resources = ["${var.buckets.landing.arn}/*"]
    }
  }

  dynamic "statement" {
    for_each = length(local.secrets[each.key]) > 0 ? ["ExchangeKeys"] : []

    content {
      sid       = statement.value
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.secrets[each.key]
    }
  }

  # A task's logs and metrics go through ECS and need no right of its own.
  dynamic "statement" {
    for_each = each.value.service == "glue" ? ["Logs"] : []

    content {
      sid       = statement.value
      actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
      resources = ["arn:aws:logs:${local.account}:log-group:${var.log_group_prefix}/glue/*"]
    }
  }

  dynamic "statement" {
    for_each = each.value.service == "glue" ? ["SparksOwnMetrics"] : []

    content {
      sid       = statement.value
      actions   = ["cloudwatch:PutMetricData"]
      resources = ["*"] # AWS knows no other for this call; the namespace narrows it

      condition {
        test     = "StringEquals"
        variable = "cloudwatch:namespace"
        values   = ["Glue"]
      }
    }
  }
}
