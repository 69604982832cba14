# What the logs tell and no metric does: a process that ran out of memory published none.
locals {
  findings = {
    errors = {
      pattern = "{ $.level = \"error\" }"
      above   = 20
      meaning = "many lines of level error"
    }
    out_of_memory = {
      pattern = "?OutOfMemoryError ?\"Container killed\""
      above   = 0
      meaning = "Spark ran out of memory: more or larger workers, in glue_job_params.json"
    }
  }
  searches = {
    for pair in setproduct(keys(local.findings), keys(var.log_groups)) :
    "${pair[0]}-${pair[1]}" => { finding = pair[0], log_group = var.log_groups[pair[1]] }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.searches

  name           = "${var.name}-${each.key}"
  log_group_name = each.value.log_group
  pattern        = local.findings[each.value.finding].pattern

  metric_transformation {
    namespace     = "${local.namespace}/Logs"
    name          = "${var.name}-${each.value.finding}"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "logs" {
  for_each = local.findings

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Logs: ${each.value.meaning}"
  namespace           = "${local.namespace}/Logs"
  metric_name         = "${var.name}-${each.key}"
  statistic           = "Sum"
  period              = local.hour
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}
