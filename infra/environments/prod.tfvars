environment         = "prod"
region              = "eu-west-1"
stale_after_minutes = 90
monthly_budget_usd  = 300
