variable "environment" {
  description = "Name of the environment: dev, staging or prod. Part of every name."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment is dev, staging or prod."
  }
}

variable "region" {
  description = "AWS region of everything."
  type        = string
}

variable "orchestration" {
  description = "What runs by the clock: pipeline (one Glue job), workflow (several) or fargate (an ECS task)."
  type        = string
  default     = "pipeline"

  validation {
    condition     = contains(["pipeline", "workflow", "fargate"], var.orchestration)
    error_message = "orchestration is pipeline, workflow or fargate."
  }
}

variable "schedules_enabled" {
  description = "Whether the clock starts anything. Without it, runs are started by hand and no alarm waits for them."
  type        = bool
  default     = true
}

variable "bundled_modules" {
  description = "Whether Glue installs the jobs' Python modules from what `make wheels` made, and asks PyPI for none."
  type        = bool
  default     = false
}

variable "exchanges_with_keys" {
  description = "Exchanges whose API key lies in Secrets Manager. Public market data needs none."
  type        = set(string)
  default     = []
}

variable "destroyable" {
  description = "Whether `terraform destroy` may delete buckets, images and secrets that are not empty."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs."
  type        = number
  default     = 365
}

variable "athena_scan_limit_gb" {
  description = "Gigabytes that one Athena query may scan before it is stopped."
  type        = number
  default     = 10
}

variable "compacted_by_glue" {
  description = "Tables, already created by the jobs, that Glue's own optimizer compacts beside `tables maintain`."
  type        = set(string)
  default     = []
}

variable "alarm_emails" {
  description = "Addresses that are told of alarms. Each is asked to confirm once."
  type        = set(string)
  default     = []
}

variable "stale_after_minutes" {
  description = "Age in minutes of a stream's newest published trade from which on it counts as stale."
  type        = number
  default     = 120
}

variable "quarantined_per_hour" {
  description = "Quarantined rows of one source in one hour that raise an alarm."
  type        = number
  default     = 100
}

variable "monthly_budget_usd" {
  description = "US dollars that a month may cost; the alarm is raised at 80 %, at all of it, and by the forecast."
  type        = number
}

variable "network" {
  description = "A VPC and subnets with a way to the internet, for orchestration fargate. null: they are made."
  type = object({
    vpc_id           = string
    subnet_ids       = list(string)
    assign_public_ip = bool
  })
  default = null
}

variable "image_tag" {
  description = "Tag of the container image that Fargate runs, pushed as README.md says."
  type        = string
  default     = "latest"
}
