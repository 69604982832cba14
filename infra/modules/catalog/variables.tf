variable "name" {
  description = "Prefix of names."
  type        = string
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
  description = "Name and ARN of each bucket; query results go to artifacts."
  type        = map(object({ name = string, arn = string }))
}

variable "key_arn" {
  description = "The key that encrypts query results."
  type        = string
}

variable "scan_limit_gb" {
  description = "Gigabytes that one query may scan before it is stopped."
  type        = number
}

variable "compacted_by_glue" {
  description = "Tables, already created by the jobs, that Glue's own optimizer compacts."
  type        = set(string)
}

variable "destroyable" {
  description = "Whether a workgroup with queries may be destroyed."
  type        = bool
}
