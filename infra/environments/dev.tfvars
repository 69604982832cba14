# For trying out: nothing runs by itself, and everything may be destroyed.
environment        = "dev"
region             = "eu-west-1"
schedules_enabled  = false
destroyable        = true
log_retention_days = 14
monthly_budget_usd = 20
