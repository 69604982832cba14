# Two roles around the task's own: ECS pulls the image and writes logs by one, EventBridge starts the task by the other.
data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["ecs-tasks", "events"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.value}.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-task-execution"
  description        = "Pulls the pipeline's image and writes its logs"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ecs-tasks"].json
}

resource "aws_iam_role_policy" "execution" {
  name   = "schemahub"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # AWS knows no other for this call
  }

  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.this.arn]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_iam_role" "starter" {
  name               = "${var.name}-task-starter"
  description        = "Starts the pipeline's task"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["events"].json
}

resource "aws_iam_role_policy" "starter" {
  name   = "schemahub"
  role   = aws_iam_role.starter.id
  policy = data.aws_iam_policy_document.starter.json
}

data "aws_iam_policy_document" "starter" {
  statement {
    sid       = "Start"
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.pipeline.arn_without_revision}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "TagWhatItStarts"
    actions   = ["ecs:TagResource"]
    resources = ["${replace(aws_ecs_cluster.this.arn, ":cluster/", ":task/")}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "HandOverItsRoles"
    actions   = ["iam:PassRole"]
    resources = [var.role_arn, aws_iam_role.execution.arn]
  }
}
