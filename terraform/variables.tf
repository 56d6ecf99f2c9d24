variable "project_id" {
  description = "The Google Cloud project. It must be the one the Gemini key belongs to: its quota is read."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: allowed is a project id, 6-30 lower-case letters, digits and hyphens, not a name or number."
  }
}

variable "region" {
  description = "Region of services, image repository and images, such as europe-west1."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: allowed is a region such as europe-west1, without a zone."
  }
}

variable "firestore_location" {
  description = "Location of the database, such as eur3 or europe-west1. Cannot be changed later."
  type        = string
  default     = "eur3"

  validation {
    condition     = can(regex("^(eur3|nam5|nam7|[a-z]+-[a-z]+[0-9]+)$", var.firestore_location))
    error_message = "firestore_location: allowed are eur3, nam5, nam7 or a region."
  }
}

variable "database" {
  description = "The Firestore database; a separate one keeps documents and permissions apart."
  type        = string
  default     = "renderlane"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.database))
    error_message = "database: allowed are 4-63 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "images_location" {
  description = "Location of the image bucket; empty = the region."
  type        = string
  default     = ""
}

variable "image_retention_days" {
  description = "Days after which images are deleted. A repeated request returns its image for 30 days."
  type        = number
  default     = 90

  validation {
    condition     = var.image_retention_days >= 31 && floor(var.image_retention_days) == var.image_retention_days
    error_message = "image_retention_days: allowed are whole numbers from 31: ids are kept for 30 days after the end."
  }
}

variable "keep_paid_hours" {
  description = "Hours during which storing a paid image is retried."
  type        = number
  default     = 24

  validation {
    condition     = var.keep_paid_hours >= 1 && var.keep_paid_hours <= 720 && floor(var.keep_paid_hours) == var.keep_paid_hours
    error_message = "keep_paid_hours: allowed are whole numbers from 1 to 720."
  }
}

variable "image" {
  description = "Container image of every service, by digest; scripts/deploy builds it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image: allowed is an image by its digest, HOST/PROJECT/REPOSITORY/NAME@sha256:…; a tag may change under running services."
  }
}

variable "commit" {
  description = "The commit that the image was built from, shortened; part of the release's name in logs, traces and labels."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9a-f]{0,40}$", var.commit))
    error_message = "commit: allowed are up to 40 hexadecimal digits."
  }
}

variable "stable_revisions" {
  description = "With a canary: the revision of each function that keeps the rest of the traffic. Empty = all traffic to the newest."
  type        = map(string)
  default     = {}
}

variable "canary_percent" {
  description = "Percentage of traffic for the newest revision if stable_revisions names another one."
  type        = number
  default     = 10

  validation {
    condition     = var.canary_percent >= 0 && var.canary_percent <= 100 && floor(var.canary_percent) == var.canary_percent
    error_message = "canary_percent: allowed are whole numbers from 0 to 100."
  }
}

variable "gemini_key_version" {
  description = "Version of the secret renderlane-gemini-key in use. Raise it to rotate, lower it to roll back."
  type        = string
  default     = "1"

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.gemini_key_version))
    error_message = "gemini_key_version: allowed is a version number; `latest` changes under running functions and cannot be rolled back."
  }
}

variable "key_rotation" {
  description = "Interval between reminders to rotate the Gemini key, and the first one; without first_at, `days` after the secret is created."
  type        = object({ days = optional(number, 90), first_at = optional(string) })
  default     = {}

  validation {
    condition     = var.key_rotation.days >= 1 && var.key_rotation.days <= 365
    error_message = "key_rotation.days: allowed are 1 to 365."
  }

  validation {
    condition     = var.key_rotation.first_at == null || can(formatdate("YYYY", var.key_rotation.first_at))
    error_message = "key_rotation.first_at: allowed is a time in the future such as 2027-03-01T09:00:00Z, or nothing."
  }
}

variable "render" {
  description = "The fleet of render: concurrent deliveries per instance, instances, memory for that many (docs/benchmarks.md), and how messages reach it: push or pull."
  type = object({
    concurrency   = optional(number, 40)
    max_instances = optional(number, 5)
    memory_mib    = optional(number, 2048)
    delivery      = optional(string, "push")
  })
  default = {}

  validation {
    condition     = contains(["push", "pull"], var.render.delivery)
    error_message = "render.delivery: allowed are push (a service that sleeps when idle; right with background calls) and pull (a worker pool; right where calls are waited for)."
  }

  validation {
    condition     = var.render.concurrency >= 1 && var.render.concurrency <= 1000
    error_message = "render.concurrency: allowed are 1 to 1000."
  }

  validation {
    condition     = var.render.max_instances >= 1 && var.render.max_instances <= 1000
    error_message = "render.max_instances: allowed are 1 to 1000."
  }

  validation {
    condition     = var.render.memory_mib >= 120 + 25 * var.render.concurrency && var.render.memory_mib <= 4096
    error_message = "render.memory_mib: an instance needs 120 MiB and 25 MiB for each delivery it takes at once; one CPU has at most 4096."
  }
}

variable "collect" {
  description = "The fleet of collect: pictures fetched at once per instance, instances, and memory for that many (docs/benchmarks.md)."
  type = object({
    concurrency   = optional(number, 20)
    max_instances = optional(number, 5)
    memory_mib    = optional(number, 1024)
  })
  default = {}

  validation {
    condition     = var.collect.concurrency >= 1 && var.collect.concurrency <= 1000 && var.collect.max_instances >= 1 && var.collect.max_instances <= 1000
    error_message = "collect: allowed are a concurrency and max_instances of 1 to 1000."
  }

  validation {
    condition     = var.collect.memory_mib >= 120 + 25 * var.collect.concurrency && var.collect.memory_mib <= 4096
    error_message = "collect.memory_mib: an instance needs 120 MiB and 25 MiB for each picture it fetches at once; one CPU has at most 4096."
  }
}

variable "background" {
  description = "RENDERLANE_BACKGROUND: which calls run in the background at the provider."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "on", "off"], var.background)
    error_message = "background: allowed are auto, on and off."
  }
}

variable "webhooks" {
  description = "public = true makes the function arrive, which anybody can call, for the provider's webhooks; without it interactions are polled. secret: of a static webhook, an existing secret with `whsec_...`. audiences, issuers: other values that signing tokens may name (docs/webhooks.md)."
  type = object({
    public        = optional(bool, false)
    max_instances = optional(number, 2)
    secret        = optional(object({ name = string, version = string }))
    audiences     = optional(list(string), [])
    issuers       = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = var.webhooks.max_instances >= 1 && var.webhooks.max_instances <= 20
    error_message = "webhooks.max_instances: allowed are 1 to 20; it bounds what a crowd of strangers can cost."
  }

  validation {
    condition     = var.webhooks.secret == null ? true : can(regex("^[1-9][0-9]*$", var.webhooks.secret.version))
    error_message = "webhooks.secret.version: allowed is a version number; `latest` changes under running functions and cannot be rolled back."
  }
}

variable "capacity" {
  description = "RENDERLANE_CAPACITY: concurrent attempts of the whole fleet; the pump uses 80 % of it."
  type        = number
  default     = 200

  validation {
    condition     = var.capacity >= 1 && var.capacity <= var.render.max_instances * var.render.concurrency
    error_message = "capacity: the fleet carries render.max_instances x render.concurrency attempts; more would get slots that no worker can use."
  }
}

variable "platform_quota" {
  description = "What Cloud Run may allocate in the region. A new project has 20 CPUs and 40 GiB; more must be requested first."
  type        = object({ cpus = optional(number, 20), gib = optional(number, 40) })
  default     = {}

  validation {
    condition     = local.fleet_cpus <= var.platform_quota.cpus && local.fleet_gib <= var.platform_quota.gib
    error_message = "platform_quota: the fleet at its largest needs ${local.fleet_cpus} CPUs and ${local.fleet_gib} GiB; over the quota Cloud Run refuses the deployment or answers 429. Lower render.max_instances, or request more (request_platform_quota)."
  }
}

variable "request_platform_quota" {
  description = "Address of the person who requests platform_quota from Google; empty = nothing is requested."
  type        = string
  default     = ""

  validation {
    condition     = var.request_platform_quota == "" || can(regex("^[^@\\s]+@[^@\\s]+$", var.request_platform_quota))
    error_message = "request_platform_quota: allowed is an address such as oncall@example.com."
  }
}

variable "min_instances" {
  description = "Instances kept warm, by function. 0 costs nothing when idle, but the next request waits for a cold start."
  type = object({
    intake  = optional(number, 0)
    pump    = optional(number, 0)
    render  = optional(number, 0)
    collect = optional(number, 0)
    api     = optional(number, 0)
  })
  default = {}

  validation {
    condition     = alltrue([for each in values(var.min_instances) : each >= 0])
    error_message = "min_instances: allowed are numbers from 0."
  }

  validation {
    condition     = var.min_instances.pump <= 1 && var.min_instances.intake <= 3 && var.min_instances.render <= var.render.max_instances && var.min_instances.collect <= var.collect.max_instances
    error_message = "min_instances: not more than the most: pump 1, intake 3, render and collect their max_instances."
  }
}

variable "timeout_seconds" {
  description = "Time-out of each function. Model time-outs and the pump's loop stay below 540 s."
  type = object({
    intake  = optional(number, 60)
    pump    = optional(number, 600)
    render  = optional(number, 600)
    watch   = optional(number, 540)
    collect = optional(number, 300)
    bury    = optional(number, 60)
    arrive  = optional(number, 30)
    deliver = optional(number, 60)
    console = optional(number, 60)
    api     = optional(number, 300)
  })
  default = {}

  validation {
    condition     = var.timeout_seconds.render >= 560 && var.timeout_seconds.pump >= 560
    error_message = "timeout_seconds: render and pump need at least 560 s: a model call and the pump's loop may take 540 s."
  }

  validation {
    condition     = alltrue([for each in values(var.timeout_seconds) : each >= 10 && each <= 3600])
    error_message = "timeout_seconds: allowed are 10 to 3600."
  }
}

variable "ack_deadline_seconds" {
  description = "How long Pub/Sub waits for an answer before it redelivers, by subscription."
  type        = map(number)
  default = {
    render-requests-intake     = 60
    pump-kicks-pump            = 600
    render-releases-render     = 600
    render-arrivals-collect    = 300
    render-dead-letters-bury   = 60
    render-results-deliver     = 60
    webhook-deliveries-deliver = 60
  }

  validation {
    condition     = length(setsubtract(keys(local.subscriptions), keys(var.ack_deadline_seconds))) == 0
    error_message = "ack_deadline_seconds: every subscription needs one: ${join(", ", keys(local.subscriptions))}."
  }

  validation {
    condition     = alltrue([for each in values(var.ack_deadline_seconds) : each >= 10 && each <= 600])
    error_message = "ack_deadline_seconds: allowed are 10 to 600 (Pub/Sub's limits)."
  }

  validation {
    condition = alltrue([
      for name, each in local.subscriptions : lookup(var.ack_deadline_seconds, name, 600) >= var.timeout_seconds[each.function]
    ])
    error_message = "ack_deadline_seconds: never under the function's timeout_seconds, or a message is redelivered while it is processed."
  }
}

variable "publishers" {
  description = "Members that may publish render requests, such as serviceAccount:web@PROJECT.iam.gserviceaccount.com."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.publishers : can(regex("^(user|group|serviceAccount|principal|principalSet):", each))])
    error_message = "publishers: allowed are user:, group:, serviceAccount:, principal: and principalSet:; nothing is public."
  }
}

variable "result_subscribers" {
  description = "Members that may attach subscriptions to the results."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.result_subscribers : can(regex("^(user|group|serviceAccount|principal|principalSet):", each))])
    error_message = "result_subscribers: allowed are user:, group:, serviceAccount:, principal: and principalSet:; nothing is public."
  }
}

variable "console_group" {
  description = "The Google group that may open the console; empty = no console. The image must have the function."
  type        = string
  default     = ""

  validation {
    condition     = var.console_group == "" || can(regex("^[^@:\\s]+@[^@:\\s]+\\.[a-z]+$", var.console_group))
    error_message = "console_group: allowed is the address of a Google group, without `group:`."
  }
}

variable "api_callers" {
  description = "The accounts that may call the HTTP API, each with its tenants; [\"*\"] is every tenant. Empty = no API. The image must have the function."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for each in keys(var.api_callers) : can(regex("^(user|serviceAccount):[^@:\\s]+@[^@:\\s]+\\.[a-z]+$", each))])
    error_message = "api_callers: allowed are user:ADDRESS and serviceAccount:ADDRESS; nothing is public, and a group has no identity token."
  }

  validation {
    condition     = alltrue([for each in values(var.api_callers) : length(each) > 0 && alltrue([for tenant in each : tenant == "*" || can(regex("^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", tenant))])])
    error_message = "api_callers: each account needs at least one tenant; allowed are 1 to 64 letters, digits and . _ : -, or *."
  }
}

variable "api_origins" {
  description = "Origins of web pages that may call the HTTP API from a browser. Empty = none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.api_origins : can(regex("^https://[^/\\s,]+$", each))])
    error_message = "api_origins: allowed are https:// origins without a path, such as https://app.example.com."
  }
}

variable "api_audience" {
  description = "Audience of the identity tokens that callers of the HTTP API send; empty = https://renderlane-api.PROJECT."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[!-~]{0,512}$", var.api_audience))
    error_message = "api_audience: allowed is text without spaces, such as https://renderlane.example.com."
  }
}

variable "default_budget" {
  description = "Dollars per tenant and day for tenants without a budget of their own, such as 25.00; empty = no limit."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9]{1,9}([.][0-9]{1,6})?)?$", var.default_budget))
    error_message = "default_budget: allowed are dollars such as 25 or 25.50."
  }
}

variable "interactive_per_minute" {
  description = "Interactive requests of one tenant that are accepted in a minute; 0 = no bound."
  type        = number
  default     = 0

  validation {
    condition     = var.interactive_per_minute >= 0 && var.interactive_per_minute <= 1000000 && floor(var.interactive_per_minute) == var.interactive_per_minute
    error_message = "interactive_per_minute: allowed are whole numbers from 0."
  }
}

variable "image_readers" {
  description = "Members that may read the images, such as the upstream app's account: a result names gs:// objects."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.image_readers : can(regex("^(user|group|serviceAccount|principal|principalSet):", each))])
    error_message = "image_readers: allowed are user:, group:, serviceAccount:, principal: and principalSet:; nothing is public."
  }
}

variable "operators" {
  description = "Members that run the command line against this deployment: read and write the database, publish requests and kicks, read images."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.operators : can(regex("^(user|group|serviceAccount|principal|principalSet):", each))])
    error_message = "operators: allowed are user:, group:, serviceAccount:, principal: and principalSet:; nothing is public."
  }
}

variable "message_regions" {
  description = "Regions in which Pub/Sub may store messages, prompts among them; empty = any, as the organisation's policy allows."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.message_regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", each))])
    error_message = "message_regions: allowed are regions such as europe-west1."
  }
}

variable "secret_locations" {
  description = "Regions that hold the Gemini key; empty = Google chooses (global). Cannot be changed later."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", each))])
    error_message = "secret_locations: allowed are regions such as europe-west1."
  }
}

variable "database_deletion_policy" {
  description = "What `terraform destroy` does with the database: ABANDON leaves it (import it before the next apply), DELETE removes it."
  type        = string
  default     = "ABANDON"

  validation {
    condition     = contains(["ABANDON", "DELETE"], var.database_deletion_policy)
    error_message = "database_deletion_policy: allowed are ABANDON and DELETE."
  }
}

variable "reference_buckets" {
  description = "Buckets, in addition to the image bucket, whose objects requests may use as references."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.reference_buckets : can(regex("^[a-z0-9][a-z0-9._-]+[a-z0-9]$", each))])
    error_message = "reference_buckets: allowed are names of buckets, without gs://."
  }
}

variable "quota" {
  description = "RENDERLANE_QUOTA: limits to use if none can be read, such as *=rpm:100,concurrency:20."
  type        = string
  default     = ""
}

variable "live_quota" {
  description = "RENDERLANE_LIVE_QUOTA: what watch reads from the provider."
  type        = string
  default     = "limits,usage"

  validation {
    condition     = contains(["off", "limits", "limits,usage"], var.live_quota)
    error_message = "live_quota: allowed are off, limits and limits,usage."
  }
}

variable "catalogue" {
  description = "RENDERLANE_CATALOGUE: the path of another catalogue in the image; empty = the image's own."
  type        = string
  default     = ""
}

variable "flag_provider" {
  description = "RENDERLANE_FLAG_PROVIDER: module:attribute of an OpenFeature provider; empty = none."
  type        = string
  default     = ""
}

variable "gemini_base_url" {
  description = "GOOGLE_GEMINI_BASE_URL: another server that speaks the Gemini API; empty = Google's."
  type        = string
  default     = ""

  validation {
    condition     = var.gemini_base_url == "" || startswith(var.gemini_base_url, "https://")
    error_message = "gemini_base_url: allowed is an https:// address: the key goes there."
  }
}

variable "otlp_endpoint" {
  description = "OTEL_EXPORTER_OTLP_ENDPOINT: where spans go; empty = nowhere."
  type        = string
  default     = "https://telemetry.googleapis.com"

  validation {
    condition     = var.otlp_endpoint == "" || can(regex("^https?://", var.otlp_endpoint))
    error_message = "otlp_endpoint: allowed is an http:// or https:// address, or nothing."
  }
}

variable "otel" {
  description = "Further OTEL_ variables."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.otel) : startswith(name, "OTEL_")])
    error_message = "otel: allowed are variables whose name begins with OTEL_."
  }
}

variable "alert_emails" {
  description = "E-mail addresses for alerts."
  type        = set(string)

  validation {
    condition     = alltrue([for each in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+$", each))])
    error_message = "alert_emails: allowed are addresses such as oncall@example.com."
  }
}

variable "alert_channels" {
  description = "Existing notification channels, as projects/PROJECT/notificationChannels/ID."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.alert_channels) + length(var.alert_emails) > 0
    error_message = "alert_channels: set alert_emails or alert_channels, or alerts reach nobody."
  }
}

variable "runbook_url" {
  description = "Address of RUNBOOK.md for on-call engineers; empty = the console's page /console/runbook, where there is a console."
  type        = string
  default     = ""
}

variable "billing_account" {
  description = "The billing account for a budget with alerts; empty = no budget."
  type        = string
  default     = ""

  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account: allowed is an id such as 012345-6789AB-CDEF01."
  }
}

variable "monthly_budget" {
  description = "Monthly budget in the billing account's currency; null = monthly_budget_usd."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget == null ? true : var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "monthly_budget: allowed are whole numbers from 1."
  }
}

variable "monthly_budget_usd" {
  description = "Old name of monthly_budget. Despite its name, in the billing account's currency."
  type        = number
  default     = 500

  validation {
    condition     = var.monthly_budget_usd >= 1 && floor(var.monthly_budget_usd) == var.monthly_budget_usd
    error_message = "monthly_budget_usd: allowed are whole dollars from 1."
  }
}

variable "labels" {
  description = "Labels for every resource that supports them."
  type        = map(string)
  default     = {}
}

variable "gateway_keys" {
  description = "RENDERLANE_GATEWAY_KEY_NAME by NAME: the secret that holds the key, and its version. Only render gets keys; the names go to all functions."
  type        = map(object({ secret = string, version = string }))
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.gateway_keys) : can(regex("^[A-Z0-9_]+$", name))])
    error_message = "gateway_keys: allowed are names in capitals, digits and underscores."
  }

  validation {
    condition     = alltrue([for each in values(var.gateway_keys) : can(regex("^[1-9][0-9]*$", each.version))])
    error_message = "gateway_keys: allowed is a version number; `latest` changes under running functions and cannot be rolled back."
  }
}

variable "failure_alerts" {
  description = "Number of attempts, and of requests, with the same outcome within ten minutes that triggers an alert."
  type = object({
    attempts = optional(number, 50)
    requests = optional(number, 20)
  })
  default = {}

  validation {
    condition     = alltrue([for each in values(var.failure_alerts) : each >= 0 && floor(each) == each])
    error_message = "failure_alerts: allowed are whole numbers from 0; 0 alerts on the first."
  }
}

variable "signals" {
  description = "When the alerts over the worker's own metrics fire: how long an interactive request may wait, in seconds, and which share of a route's attempts may fail."
  type = object({
    interactive_wait_s = optional(number, 60)
    failing_share      = optional(number, 0.5)
  })
  default = {}

  validation {
    condition     = var.signals.interactive_wait_s > 0 && var.signals.failing_share > 0 && var.signals.failing_share < 1
    error_message = "signals: allowed are an interactive_wait_s above 0 and a failing_share between 0 and 1."
  }
}

variable "slo" {
  description = "Objective over 28 days: the share of requests that end with an image or a refusal."
  type        = object({ ends_well = optional(number, 0.99) })
  default     = {}

  validation {
    condition     = var.slo.ends_well > 0 && var.slo.ends_well < 1
    error_message = "slo.ends_well: allowed are numbers between 0 and 1, such as 0.99; 1 leaves no error budget."
  }
}

variable "probe_minutes" {
  description = "RENDERLANE_PROBE_MINUTES: minutes between two drafts of our own, each at most $0.10; 0 = none."
  type        = number
  default     = 0

  validation {
    condition     = var.probe_minutes == 0 ? true : var.probe_minutes >= 5 && var.probe_minutes <= 1440 && floor(var.probe_minutes) == var.probe_minutes
    error_message = "probe_minutes: allowed are 0 and whole numbers from 5 to 1440."
  }
}

variable "audit_documents" {
  description = "Also log reads and writes of Firestore documents (many large entries)."
  type        = bool
  default     = false
}

variable "github_repository" {
  description = "The repository that may deploy, as OWNER/NAME; empty = none."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository: allowed is OWNER/NAME."
  }
}

variable "github_environment" {
  description = "The environment in that repository whose approval an apply needs."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.github_environment))
    error_message = "github_environment: allowed are lower-case letters, digits and hyphens."
  }
}
