output "buckets" {
  description = "Name and ARN of each bucket: warehouse, artifacts, landing."
  value       = { for use, bucket in aws_s3_bucket.this : use => { name = bucket.bucket, arn = bucket.arn } }
}

output "key_arn" {
  description = "The key that encrypts everything at rest."
  value       = aws_kms_key.this.arn
}
