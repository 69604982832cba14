# Off unless asked for, and compaction only: Glue's optimizers take no publish lock, so they make publishes write
# again, and their orphan file deletion would take the state files that no snapshot names; `tables maintain` knows both.
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account = "${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
}

resource "aws_glue_catalog_table_optimizer" "compaction" {
  for_each = var.compacted_by_glue

  catalog_id    = data.aws_caller_identity.current.account_id
  database_name = aws_glue_catalog_database.this.name
  table_name    = each.value
  type          = "compaction"

  configuration {
    role_arn = aws_iam_role.optimizer[0].arn
    enabled  = true
  }
}

data "aws_iam_policy_document" "assumed_by_glue" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["glue.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "optimizer" {
  statement {
    sid     = "Tables"
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"]
    resources = concat(
      [
        "arn:aws:glue:${local.account}:catalog",
        "arn:aws:glue:${local.account}:database/${var.database}",
      ],
      [for table in var.compacted_by_glue : "arn:aws:glue:${local.account}:table/${var.database}/${table}"],
    )
  }

  statement {
    sid     = "Files"
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = [
      for table in var.compacted_by_glue :
      "arn:aws:s3:::${trimprefix(var.warehouse, "s3://")}/${var.database}.db/${table}/*"
    ]
  }

  statement {
    sid       = "Bucket"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.warehouse.arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:aws:logs:${local.account}:log-group:/aws-glue/iceberg-compaction/logs:*"]
  }
}

resource "aws_iam_role" "optimizer" {
  count = length(var.compacted_by_glue) > 0 ? 1 : 0

  name               = "${var.name}-optimizer"
  description        = "Glue's compaction of the tables that ask for it"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_glue.json
}

resource "aws_iam_role_policy" "optimizer" {
  count = length(var.compacted_by_glue) > 0 ? 1 : 0

  name   = "compaction"
  role   = aws_iam_role.optimizer[0].id
  policy = data.aws_iam_policy_document.optimizer.json
}
