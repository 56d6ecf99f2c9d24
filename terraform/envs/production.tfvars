# Warm where a person waits: intake takes the request, the pump grants it a slot, render starts it: a slot is good for 0.4 to 2 s,
# less than a cold start.
project_id         = "renderlane-production"
region             = "europe-west1"
firestore_location = "eur3"
images_location    = "EU" # as far apart as the database: with one region, its outage takes every image along
alert_emails       = ["renderlane-oncall@example.com"]
publishers         = ["serviceAccount:web@renderlane-production.iam.gserviceaccount.com"]
result_subscribers = ["serviceAccount:web@renderlane-production.iam.gserviceaccount.com"]
image_readers      = ["serviceAccount:web@renderlane-production.iam.gserviceaccount.com"]
operators          = ["group:renderlane-oncall@example.com"]
runbook_url        = "https://runbooks.example.com/renderlane/RUNBOOK.md"
render             = { concurrency = 80, max_instances = 5, memory_mib = 2304 } # fits the 20 CPUs and 40 GiB of a new project
capacity           = 400
min_instances      = { intake = 1, pump = 1, render = 1 }
quota              = "*=concurrency:300"
labels             = { environment = "production" }

monthly_budget = 5000
# billing_account = "012345-6789AB-CDEF01"  # without it no budget is made
