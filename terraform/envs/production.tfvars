# Warm where a person waits: intake takes the request, the pump grants it a slot.
project_id         = "renderlane-production"
region             = "europe-west1"
firestore_location = "eur3"
alert_emails       = ["renderlane-oncall@example.com"]
publishers         = ["serviceAccount:web@renderlane-production.iam.gserviceaccount.com"]
result_subscribers = ["serviceAccount:web@renderlane-production.iam.gserviceaccount.com"]
render             = { concurrency = 40, max_instances = 10, memory_mib = 2048 }
capacity           = 400
min_instances      = { intake = 1, pump = 1, render = 0 }
quota              = "*=concurrency:300"
labels             = { environment = "production" }

monthly_budget_usd = 5000
