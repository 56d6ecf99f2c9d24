# Variables that would not work are refused before anything is made. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "an_ack_deadline_under_the_time_out" {
  command = plan

  variables {
    ack_deadline_seconds = {
      render-requests-intake     = 30
      pump-kicks-pump            = 600
      render-releases-render     = 600
      render-arrivals-collect    = 300
      render-dead-letters-bury   = 60
      render-results-deliver     = 60
      webhook-deliveries-deliver = 60
    }
  }

  expect_failures = [var.ack_deadline_seconds]
}

run "more_capacity_than_the_fleet_has" {
  command = plan

  variables {
    render   = { concurrency = 40, max_instances = 2 }
    capacity = 81
  }

  expect_failures = [var.capacity]
}

run "too_little_memory_for_the_concurrency" {
  command = plan

  variables {
    render = { concurrency = 80, memory_mib = 2048 }
  }

  expect_failures = [var.render]
}

run "a_time_out_under_the_models_own" {
  command = plan

  variables {
    timeout_seconds = { render = 300 }
  }

  expect_failures = [var.timeout_seconds]
}

run "two_warm_pumps" {
  command = plan

  variables {
    min_instances = { pump = 2 }
  }

  expect_failures = [var.min_instances]
}

run "a_public_publisher" {
  command = plan

  variables {
    publishers = ["allUsers"]
  }

  expect_failures = [var.publishers]
}

run "public_results" {
  command = plan

  variables {
    result_subscribers = ["allAuthenticatedUsers"]
  }

  expect_failures = [var.result_subscribers]
}

run "the_latest_key" {
  command = plan

  variables {
    gemini_key_version = "latest"
  }

  expect_failures = [var.gemini_key_version]
}

run "images_deleted_before_their_id_is_forgotten" {
  command = plan

  variables {
    image_retention_days = 30
  }

  expect_failures = [var.image_retention_days]
}

run "paid_images_never_tried_again" {
  command = plan

  variables {
    keep_paid_hours = 0
  }

  expect_failures = [var.keep_paid_hours]
}

run "nobody_to_alert" {
  command = plan

  variables {
    alert_emails = []
  }

  expect_failures = [var.alert_channels]
}

run "the_key_sent_in_the_clear" {
  command = plan

  variables {
    gemini_base_url = "http://gateway.example.com"
  }

  expect_failures = [var.gemini_base_url]
}

run "a_console_for_everybody" {
  command = plan

  variables {
    console_group = "allUsers"
  }

  expect_failures = [var.console_group]
}

run "a_console_for_a_member_that_is_no_address" {
  command = plan

  variables {
    console_group = "group:renderlane-oncall@example.com"
  }

  expect_failures = [var.console_group]
}

run "names_that_google_would_refuse" {
  command = plan

  variables {
    project_id         = "Render_Test"
    region             = "europe-west1-b"
    firestore_location = "europe"
    database           = "x"
    image              = "worker:latest"
    reference_buckets  = ["gs://brand"]
    billing_account    = "my account"
  }

  expect_failures = [
    var.project_id, var.region, var.firestore_location, var.database, var.image, var.reference_buckets, var.billing_account,
  ]
}

run "values_outside_their_range" {
  command = plan

  variables {
    key_rotation             = { days = 0, first_at = "soon" }
    live_quota               = "usage"
    otel                     = { GEMINI_API_KEY = "in the clear" }
    otlp_endpoint            = "collector:4318"
    alert_emails             = ["oncall"]
    monthly_budget_usd       = 0.5
    monthly_budget           = 0.5
    commit                   = "v1.2"
    slo                      = { ends_well = 1 }
    signals                  = { failing_share = 1 }
    github_repository        = "renderlane"
    github_environment       = "Prod 1"
    canary_percent           = 101
    image_readers            = ["allUsers"]
    operators                = ["allAuthenticatedUsers"]
    message_regions          = ["europe"]
    secret_locations         = ["global"]
    database_deletion_policy = "KEEP"
    gateway_keys             = { acme = { secret = "acme-key", version = "1" } }
    failure_alerts           = { attempts = -1 }
  }

  expect_failures = [
    var.key_rotation, var.live_quota, var.otel, var.otlp_endpoint, var.alert_emails, var.monthly_budget_usd, var.gateway_keys,
    var.failure_alerts, var.monthly_budget, var.image_readers, var.operators, var.message_regions, var.secret_locations,
    var.database_deletion_policy, var.commit, var.canary_percent,
    var.slo, var.signals, var.github_repository, var.github_environment,
  ]
}

run "a_key_of_a_gateway_that_changes_under_running_functions" {
  command = plan

  variables {
    gateway_keys = { ACME = { secret = "acme-key", version = "latest" } }
  }

  expect_failures = [var.gateway_keys]
}

run "an_api_for_everybody" {
  command = plan

  variables {
    api_callers = { allUsers = ["web"] }
  }

  expect_failures = [var.api_callers]
}

run "an_account_of_the_api_without_a_tenant" {
  command = plan

  variables {
    api_callers = { "user:ada@example.com" = [] }
  }

  expect_failures = [var.api_callers]
}

run "an_audience_with_a_space" {
  command = plan

  variables {
    api_audience = "a b"
  }

  expect_failures = [var.api_audience]
}

run "a_budget_that_is_no_amount" {
  command = plan

  variables {
    default_budget = "lots"
  }

  expect_failures = [var.default_budget]
}

run "more_pictures_than_memory" {
  command = plan

  variables {
    collect = { concurrency = 80, memory_mib = 1024 }
  }

  expect_failures = [var.collect]
}

run "a_background_of_another_word" {
  command = plan

  variables {
    background = "sometimes"
  }

  expect_failures = [var.background]
}

run "a_webhook_secret_that_is_not_pinned" {
  command = plan

  variables {
    webhooks = { public = true, secret = { name = "webhook-secret", version = "latest" } }
  }

  expect_failures = [var.webhooks]
}

run "another_way_of_delivery" {
  command = plan

  variables {
    render = { delivery = "streaming" }
  }

  expect_failures = [var.render]
}

run "a_fleet_beyond_the_platforms_quota" {
  command = plan

  variables {
    render = { max_instances = 20 }
  }

  expect_failures = [var.platform_quota]
}

run "nobody_to_ask_for_quota" {
  command = plan

  variables {
    request_platform_quota = "someone"
  }

  expect_failures = [var.request_platform_quota]
}

run "a_probe_each_minute" {
  command = plan

  variables {
    probe_minutes = 1
  }

  expect_failures = [var.probe_minutes]
}

run "an_origin_with_a_path" {
  command = plan

  variables {
    api_origins = ["https://app.example.com/page"]
  }

  expect_failures = [var.api_origins]
}

run "half_an_interactive_request" {
  command = plan

  variables {
    interactive_per_minute = 0.5
  }

  expect_failures = [var.interactive_per_minute]
}
