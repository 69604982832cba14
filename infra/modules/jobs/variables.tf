variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "jobs" {
  description = "The jobs of glue_job_params.json, each with the defaults filled in."
  type = map(object({
    script              = string
    description         = string
    glue_version        = string
    worker_type         = string
    number_of_workers   = number
    timeout_minutes     = number
    max_retries         = number
    max_concurrent_runs = number
    arguments           = map(string)
  }))
}

variable "role_arns" {
  description = "ARN of each job's role."
  type        = map(string)
}

variable "settings" {
  description = "SCHEMAHUB_* variables of this environment. Glue sets none, so jobs get them as arguments."
  type        = map(string)
}

variable "bundled_modules" {
  description = "Whether jobs install their Python modules from what `make wheels` made, in place of PyPI."
  type        = bool
}

variable "artifacts_bucket" {
  description = "Name of the bucket that scripts and the library are put into."
  type        = string
}

variable "key_arn" {
  description = "The key that encrypts scripts and logs."
  type        = string
}

variable "log_group_prefix" {
  description = "What the names of the log groups begin with."
  type        = string
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs."
  type        = number
}
