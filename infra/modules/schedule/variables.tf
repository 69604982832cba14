variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "orchestration" {
  description = "pipeline, workflow or fargate: what takes the pipeline job's place on the clock."
  type        = string
}

variable "enabled" {
  description = "Whether the clock starts anything."
  type        = bool
}

variable "schedules" {
  description = "Schedule of each job that has one in glue_job_params.json, as a Glue cron expression."
  type        = map(string)
}

variable "job_names" {
  description = "Glue's name of each job."
  type        = map(string)
}
