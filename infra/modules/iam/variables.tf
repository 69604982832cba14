variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "jobs" {
  description = "Names of the Glue jobs, as in glue_job_params.json. Each gets a role of its own."
  type        = set(string)
}

variable "fargate" {
  description = "Whether the pipeline runs as an ECS task too, which then gets a role."
  type        = bool
}

variable "sources" {
  description = "The exchanges that have an ingest job."
  type        = set(string)
}

variable "exchanges_with_keys" {
  description = "Exchanges whose API key lies in Secrets Manager."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.exchanges_with_keys, var.sources)) == 0
    error_message = "exchanges_with_keys names an exchange that has no ingest job in glue_job_params.json."
  }
}

variable "database" {
  description = "Name of the Glue database."
  type        = string
}

variable "warehouse" {
  description = "s3:// address under which the tables lie."
  type        = string
}

variable "buckets" {
  description = "Name and ARN of each bucket: warehouse, artifacts, landing."
  type        = map(object({ name = string, arn = string }))
}

variable "key_arn" {
  description = "The key that encrypts buckets and secrets."
  type        = string
}

variable "log_group_prefix" {
  description = "What the names of the log groups begin with."
  type        = string
}

variable "destroyable" {
  description = "Whether a destroyed secret is gone at once, without AWS's month in which it can be restored."
  type        = bool
}
