locals {
  # The workflow and the ECS task do what the pipeline job does; the other schedules, maintenance's, stay.
  scheduled = {
    for job, schedule in var.schedules :
    job => schedule if job != "pipeline" || var.orchestration == "pipeline"
  }
  workflow = var.orchestration == "workflow" ? toset([var.name]) : toset([])
  ingest   = [for job, name in var.job_names : name if startswith(job, "ingest_")]
}

resource "aws_glue_trigger" "scheduled" {
  for_each = local.scheduled

  name              = "${var.name}-${each.key}"
  description       = "Starts ${each.key} by the clock"
  type              = "SCHEDULED"
  schedule          = each.value
  enabled           = var.enabled
  start_on_creation = var.enabled

  actions {
    job_name = var.job_names[each.key]
  }
}

resource "aws_glue_workflow" "this" {
  for_each = local.workflow

  name                = each.value
  description         = "Every exchange side by side, then unify"
  max_concurrent_runs = 1
}

resource "aws_glue_trigger" "ingest" {
  for_each = aws_glue_workflow.this

  name              = "${var.name}-ingest"
  description       = "Starts every exchange's ingest by the clock"
  workflow_name     = each.value.name
  type              = "SCHEDULED"
  schedule          = var.schedules["pipeline"]
  enabled           = var.enabled
  start_on_creation = var.enabled

  dynamic "actions" {
    for_each = local.ingest

    content {
      job_name = actions.value
    }
  }
}

# A partial ingest has succeeded. An exchange that is down altogether makes the next run unify what came meanwhile.
resource "aws_glue_trigger" "unify" {
  for_each = aws_glue_workflow.this

  name              = "${var.name}-unify"
  description       = "Starts unify once every ingest has succeeded"
  workflow_name     = each.value.name
  type              = "CONDITIONAL"
  enabled           = var.enabled
  start_on_creation = var.enabled

  predicate {
    logical = "AND"

    dynamic "conditions" {
      for_each = local.ingest

      content {
        job_name = conditions.value
        state    = "SUCCEEDED"
      }
    }
  }

  actions {
    job_name = var.job_names["unify"]
  }
}
