output "cluster_arn" {
  description = "The cluster that the task runs in."
  value       = aws_ecs_cluster.this.arn
}

output "log_group" {
  description = "Name of the task's log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "repository_url" {
  description = "Where to push the image to."
  value       = aws_ecr_repository.this.repository_url
}
