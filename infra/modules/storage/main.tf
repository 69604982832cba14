locals {
  # Old versions are the way back from a deletion by mistake; what is under `scratch` goes after a week.
  buckets = {
    warehouse = { name = var.bucket, colder_after_days = null, scratch = null }
    artifacts = { name = "${var.bucket}-artifacts", colder_after_days = null, scratch = "athena/" }
    landing   = { name = "${var.bucket}-landing", colder_after_days = 90, scratch = null }
  }
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_18:Access logs tell little of what jobs do; CloudTrail does where an audit asks for it
  # checkov:skip=CKV_AWS_144:Trades can be fetched again and tables rebuilt; a second region would double the bill
  # checkov:skip=CKV2_AWS_62:Nobody waits for object events: jobs run by the clock
  for_each = local.buckets

  bucket        = each.value.name
  force_destroy = var.destroyable
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

data "aws_iam_policy_document" "tls_only" {
  for_each = aws_s3_bucket.this

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  policy = data.aws_iam_policy_document.tls_only[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  # checkov:skip=CKV_AWS_300:The first rule does; checkov reads no rules beside dynamic ones
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }
  }

  dynamic "rule" {
    for_each = each.value.colder_after_days == null ? [] : [each.value.colder_after_days]

    content {
      id     = "colder"
      status = "Enabled"

      filter {}

      transition {
        days          = rule.value
        storage_class = "GLACIER_IR"
      }
    }
  }

  dynamic "rule" {
    for_each = each.value.scratch == null ? [] : [each.value.scratch]

    content {
      id     = "scratch"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      expiration {
        days = 7
      }
    }
  }

  # Old versions can only be told apart once there are versions.
  depends_on = [aws_s3_bucket_versioning.this]
}
