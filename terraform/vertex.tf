# The Vertex lane: the same models with the account of render and no key. Without var.vertex nothing exists. docs/operations/vertex.md.

variable "vertex" {
  description = "The Vertex lane: its project (empty = project_id), its location, and which requests it takes (docs/operations/vertex.md)."
  type = object({
    project  = optional(string, "")
    location = optional(string, "global")
    route    = optional(string, "fallback")
    base_url = optional(string, "")
  })
  default = null

  validation {
    condition     = var.vertex == null || can(regex("^([a-z][a-z0-9-]{4,28}[a-z0-9])?$", var.vertex.project))
    error_message = "vertex.project: allowed is a project id, or nothing for project_id."
  }

  validation {
    condition     = var.vertex == null || can(regex("^[a-z][a-z0-9-]{0,31}$", var.vertex.location))
    error_message = "vertex.location: allowed is global, us, eu or a region such as europe-west4."
  }

  validation {
    condition     = var.vertex == null || can(index(["fallback", "first", "named", "only"], var.vertex.route))
    error_message = "vertex.route: allowed are fallback, first, named and only."
  }

  validation {
    condition     = var.vertex == null || can(regex("^(https://[a-z0-9.-]+(/.*)?)?$", var.vertex.base_url))
    error_message = "vertex.base_url: allowed is an https:// address, such as a private endpoint's, or nothing for Google's own."
  }
}

locals {
  has_vertex     = var.vertex != null
  only_vertex    = local.has_vertex ? var.vertex.route == "only" : false
  vertex_project = local.has_vertex ? coalesce(var.vertex.project, var.project_id) : ""
  # All functions plan routes, so all are told; render alone calls.
  vertex_environment = local.has_vertex ? { for name, value in {
    GOOGLE_VERTEX_BASE_URL  = var.vertex.base_url
    RENDERLANE_VERTEX       = "${local.vertex_project}/${var.vertex.location}"
    RENDERLANE_VERTEX_ROUTE = var.vertex.route
  } : name => value if value != "" } : {}
}

resource "google_project_service" "vertex" {
  count = local.has_vertex ? 1 : 0

  project            = local.vertex_project
  service            = "aiplatform.googleapis.com"
  disable_on_destroy = false
}

resource "google_project_iam_member" "vertex" {
  count = local.has_vertex ? 1 : 0

  project = local.vertex_project
  role    = "roles/aiplatform.user"
  member  = google_service_account.function["render"].member
}
