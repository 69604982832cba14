locals {
  namespace = "SchemaHub"
  hour      = 3600

  # Who publishes metrics, as the dimensions Job and Source: what schemahub_runs calls job and source.
  ingests = { for source in var.sources : source => { Job = "ingest", Source = source } }
  streams = merge(local.ingests, { trades_unified = { Job = "unify", Source = "trades_unified" } })

  # Alarms that every stream has.
  rules = {
    stale = {
      metric    = "LagSeconds"
      statistic = "Minimum" # of the hour's runs, the freshest
      above     = var.stale_after_minutes * 60
      hours     = 2
      missing   = var.expect_runs ? "breaching" : "notBreaching"
      meaning   = "its newest published trade is older than ${var.stale_after_minutes} minutes, or nothing has run"
    }
    failing = {
      metric    = "Failures"
      statistic = "Sum"
      above     = 0
      hours     = 2
      missing   = "notBreaching"
      meaning   = "runs or products have failed for two hours"
    }
    quarantine = {
      metric    = "Quarantined"
      statistic = "Sum"
      above     = var.quarantined_per_hour
      hours     = 1
      missing   = "notBreaching"
      meaning   = "rows that are no trades are set aside; see schemahub_quarantine and `schemahub mappings drift`"
    }
  }
  alarms = {
    for pair in setproduct(keys(local.rules), keys(local.streams)) :
    "${pair[0]}-${pair[1]}" => merge(local.rules[pair[0]], { stream = pair[1] })
  }
}

resource "aws_cloudwatch_metric_alarm" "stream" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.stream}: ${each.value.meaning}"
  namespace           = local.namespace
  metric_name         = each.value.metric
  dimensions          = merge({ Database = var.database }, local.streams[each.value.stream])
  statistic           = each.value.statistic
  period              = local.hour
  evaluation_periods  = each.value.hours
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "volume" {
  for_each = local.ingests

  alarm_name          = "${var.name}-volume-${each.key}"
  alarm_description   = "${each.key}: far fewer or far more trades an hour than usual"
  comparison_operator = "LessThanLowerOrGreaterThanUpperThreshold"
  threshold_metric_id = "usual"
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "usual"
    expression  = "ANOMALY_DETECTION_BAND(rows, 3)"
    label       = "Rows, as usual"
    return_data = true
  }

  metric_query {
    id          = "rows"
    return_data = true

    metric {
      namespace   = local.namespace
      metric_name = "Rows"
      dimensions  = merge({ Database = var.database }, each.value)
      stat        = "Sum"
      period      = local.hour
    }
  }
}
