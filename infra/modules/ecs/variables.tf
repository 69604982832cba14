variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "enabled" {
  description = "Whether EventBridge starts the task."
  type        = bool
}

variable "role_arn" {
  description = "What the task runs as."
  type        = string
}

variable "settings" {
  description = "SCHEMAHUB_* variables of the task."
  type        = map(string)
}

variable "network" {
  description = "VPC and subnets with a way to the internet; assign_public_ip where that way is an internet gateway."
  type = object({
    vpc_id           = string
    subnet_ids       = list(string)
    assign_public_ip = bool
  })
}

variable "image_tag" {
  description = "Tag of the image to run."
  type        = string
}

variable "key_arn" {
  description = "The key that encrypts images and logs."
  type        = string
}

variable "log_group_prefix" {
  description = "What the log group's name begins with."
  type        = string
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs."
  type        = number
}

variable "destroyable" {
  description = "Whether a repository with images may be destroyed."
  type        = bool
}
