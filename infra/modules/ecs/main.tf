data "aws_region" "current" {}

resource "aws_ecr_repository" "this" {
  # checkov:skip=CKV_AWS_51:The tag `latest` moves with each push; image_tag may name another one
  name         = var.name
  force_delete = var.destroyable

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.key_arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last ten images stay"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:A year is the default; environments that are not production keep their logs for less
  name              = "${var.log_group_prefix}/fargate"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_ecs_cluster" "this" {
  # checkov:skip=CKV_AWS_65:SchemaHub publishes its own metrics; Container Insights would cost as much as the task
  name = var.name
}

resource "aws_ecs_task_definition" "pipeline" {
  # checkov:skip=CKV_AWS_336:Spark writes its scratch files, and Ivy its resolutions, to /tmp and the home folder
  family                   = "${var.name}-pipeline"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "2048"
  memory                   = "8192"
  task_role_arn            = var.role_arn
  execution_role_arn       = aws_iam_role.execution.arn

  container_definitions = jsonencode([{
    name        = "pipeline"
    image       = "${aws_ecr_repository.this.repository_url}:${var.image_tag}"
    essential   = true
    command     = ["--log-format", "json", "run", "pipeline", "trades_unified"]
    environment = [for variable, value in local.environment : { name = variable, value = value }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = "pipeline"
      }
    }
  }])
}

locals {
  environment = merge(var.settings, { AWS_REGION = data.aws_region.current.region, SCHEMAHUB_DRIVER_MEMORY = "4g" })
}

resource "aws_security_group" "task" {
  name        = "${var.name}-task"
  description = "Calls out over HTTPS; nothing may call in"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.task.id
  description       = "Exchanges and AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
