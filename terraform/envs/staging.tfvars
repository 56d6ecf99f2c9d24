# A small fleet that sleeps when nothing comes.
project_id   = "renderlane-staging"
region       = "europe-west1"
alert_emails = ["renderlane-staging@example.com"]
publishers   = ["serviceAccount:web@renderlane-staging.iam.gserviceaccount.com"]
render       = { concurrency = 20, max_instances = 2, memory_mib = 1024 }
capacity     = 40
quota        = "*=rpm:30,concurrency:20"
labels       = { environment = "staging" }

monthly_budget           = 100
database_deletion_policy = "DELETE"
