# Variables that would not work are refused before anything is made. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  bundle       = "bundle.zip"
}

run "an_ack_deadline_under_the_time_out" {
  command = plan

  variables {
    ack_deadline_seconds = {
      render-requests-intake   = 30
      pump-kicks-pump          = 600
      render-releases-render   = 600
      render-dead-letters-bury = 60
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
