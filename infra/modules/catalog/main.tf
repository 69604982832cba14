# Only the database: the jobs create the tables, with the schemas that the library knows.
resource "aws_glue_catalog_database" "this" {
  name         = var.database
  description  = "Trades of crypto exchanges, raw and unified, and SchemaHub's ledgers"
  location_uri = "${var.warehouse}/${var.database}.db"
}

resource "aws_athena_workgroup" "this" {
  name          = var.name
  description   = "Queries on ${var.database}, stopped at ${var.scan_limit_gb} GB"
  force_destroy = var.destroyable

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit_gb * pow(1024, 3)

    result_configuration {
      output_location = "s3://${var.buckets.artifacts.name}/athena/"

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.key_arn
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each = fileset("${path.module}/queries", "*.sql")

  name        = trimsuffix(each.value, ".sql")
  description = trimprefix(split("\n", file("${path.module}/queries/${each.value}"))[0], "-- ")
  workgroup   = aws_athena_workgroup.this.id
  database    = aws_glue_catalog_database.this.name
  query       = file("${path.module}/queries/${each.value}")
}
