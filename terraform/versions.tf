terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7, < 9"
    }
  }

  # The bucket is named at `terraform init -backend-config=bucket=…`; scripts/deploy does it.
  backend "gcs" {
    prefix = "renderlane"
  }
}

provider "google" {
  project               = var.project_id
  region                = var.region
  billing_project       = var.project_id
  user_project_override = true
  default_labels        = merge({ app = "renderlane" }, var.labels)
}
