# Each failed try is told at once; Glue tries again as often as glue_job_params.json says.
resource "aws_cloudwatch_event_rule" "job_failed" {
  name        = "${var.name}-job-failed"
  description = "A Glue job of SchemaHub failed or ran out of time"
  event_pattern = jsonencode({
    source      = ["aws.glue"]
    detail-type = ["Glue Job State Change"]
    detail      = { jobName = var.job_names, state = ["FAILED", "TIMEOUT"] }
  })
}

resource "aws_cloudwatch_event_target" "job_failed" {
  rule = aws_cloudwatch_event_rule.job_failed.name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths = {
      job     = "$.detail.jobName"
      run     = "$.detail.jobRunId"
      state   = "$.detail.state"
      message = "$.detail.message"
    }
    input_template = "\"<job> (<run>): <state>. <message>\""
  }
}

# 3 is a partial run, which succeeds on Glue too; what failed of it is in the metric Failures.
resource "aws_cloudwatch_event_rule" "task_failed" {
  count = length(var.clusters)

  name        = "${var.name}-task-failed"
  description = "The pipeline's ECS task did not start, or ended with an error"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.clusters[count.index]]
      lastStatus = ["STOPPED"]
      "$or" = [
        { containers = { exitCode = [{ anything-but = [0, 3] }] } },
        { stopCode = ["TaskFailedToStart"] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "task_failed" {
  count = length(var.clusters)

  rule = aws_cloudwatch_event_rule.task_failed[count.index].name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths    = { task = "$.detail.taskArn", reason = "$.detail.stoppedReason" }
    input_template = "\"<task>: <reason>\""
  }
}
