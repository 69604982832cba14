variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "database" {
  description = "The Glue database, by which metrics of this environment are told from others'."
  type        = string
}

variable "sources" {
  description = "The exchanges that have an ingest job."
  type        = set(string)
}

variable "job_names" {
  description = "Glue's names of the jobs."
  type        = list(string)
}

variable "clusters" {
  description = "ARNs of the ECS clusters whose tasks are watched; none unless orchestration is fargate."
  type        = list(string)
}

variable "log_groups" {
  description = "Names of the log groups to search: output, error and, with Fargate, fargate."
  type        = map(string)
}

variable "expect_runs" {
  description = "Whether no metrics at all mean that something is wrong: false where nothing runs by the clock."
  type        = bool
}

variable "key_arn" {
  description = "The key that encrypts the topic."
  type        = string
}

variable "emails" {
  description = "Addresses that are told of alarms."
  type        = set(string)
}

variable "stale_after_minutes" {
  description = "Age of the newest published trade from which on a stream counts as stale."
  type        = number
}

variable "quarantined_per_hour" {
  description = "Quarantined rows of one source in one hour that raise an alarm."
  type        = number
}

variable "monthly_budget_usd" {
  description = "US dollars a month that this environment may cost."
  type        = number
}
