output "topic_arn" {
  description = "The topic that every alarm is sent to."
  value       = aws_sns_topic.alarms.arn
}
