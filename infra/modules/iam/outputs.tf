output "role_arns" {
  description = "ARN of each job's role; with Fargate, of the task's as `fargate`."
  value       = { for runner, role in aws_iam_role.runner : runner => role.arn }

  # A role is handed out once it may do its work.
  depends_on = [aws_iam_role_policy.runner]
}

output "secret_names" {
  description = "Name of the secret with an exchange's API key, by exchange."
  value       = { for exchange, secret in aws_secretsmanager_secret.exchange : exchange => secret.name }
}
