# As production, on a schedule, but kept for less time.
environment        = "staging"
region             = "eu-west-1"
destroyable        = true
log_retention_days = 30
monthly_budget_usd = 100
