resource "aws_cloudwatch_event_rule" "every_45_minutes" {
  name                = "${var.name}-pipeline"
  description         = "Starts the pipeline as an ECS task"
  schedule_expression = "rate(45 minutes)"
  state               = var.enabled ? "ENABLED" : "DISABLED"
}

resource "aws_cloudwatch_event_target" "task" {
  rule     = aws_cloudwatch_event_rule.every_45_minutes.name
  arn      = aws_ecs_cluster.this.arn
  role_arn = aws_iam_role.starter.arn

  ecs_target {
    task_definition_arn = aws_ecs_task_definition.pipeline.arn
    launch_type         = "FARGATE"
    task_count          = 1
    propagate_tags      = "TASK_DEFINITION"

    network_configuration {
      subnets          = var.network.subnet_ids
      security_groups  = [aws_security_group.task.id]
      assign_public_ip = var.network.assign_public_ip
    }
  }
}
