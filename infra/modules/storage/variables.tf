variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "bucket" {
  description = "Name of the warehouse bucket; the others are called after it."
  type        = string
}

variable "destroyable" {
  description = "Whether buckets that are not empty may be destroyed."
  type        = bool
}
