data "aws_region" "current" {}

locals {
  charts = [
    { title = "Rows an hour", metric = "Rows", stat = "Sum" },
    { title = "Age of the newest trade, seconds", metric = "LagSeconds", stat = "Maximum" },
    { title = "Quarantined rows", metric = "Quarantined", stat = "Sum" },
    { title = "Failures", metric = "Failures", stat = "Sum" },
    { title = "Requests", metric = "Requests", stat = "Sum" },
    { title = "Retries", metric = "Retries", stat = "Sum" },
    { title = "Seconds of a publish", metric = "PublishSeconds", stat = "p95" },
  ]
  alarm_arns = concat(
    [for alarm in aws_cloudwatch_metric_alarm.stream : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.volume : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.logs : alarm.arn],
  )
  metrics_of = "{${local.namespace},Database,Job,Source} Database=\"${var.database}\""
  searched   = join(" | ", [for group in values(var.log_groups) : "SOURCE '${group}'"])
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 4
        properties = { title = "Alarms", alarms = local.alarm_arns }
      }],
      [for number, chart in local.charts : {
        type   = "metric"
        x      = number % 3 * 8
        y      = 4 + floor(number / 3) * 6
        width  = 8
        height = 6
        properties = {
          title  = chart.title
          region = data.aws_region.current.region
          period = local.hour
          metrics = [[{
            expression = "SEARCH('${local.metrics_of} MetricName=\"${chart.metric}\"', '${chart.stat}', ${local.hour})"
          }]]
        }
      }],
      [{
        type   = "log"
        x      = 0
        y      = 22
        width  = 24
        height = 6
        properties = {
          title  = "The latest errors"
          region = data.aws_region.current.region
          query = join(" | ", [
            local.searched,
            "fields @timestamp, message",
            "filter level = 'error'",
            "sort @timestamp desc",
            "limit 20",
          ])
        }
      }],
    )
  })
}
