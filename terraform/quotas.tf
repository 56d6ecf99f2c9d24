# What Cloud Run may allocate in the region. A new project often has 20 CPUs and 40 GiB; every service's max instances count against it
# at deployment, and the sum of what runs at any time: over it, deliveries are answered with 429.
# https://cloud.google.com/run/quotas

locals {
  fleet = merge(
    { for name, each in local.functions : name => { instances = each.max_instances, memory_mib = each.memory_mib } },
    { for name, each in local.console : name => { instances = 2, memory_mib = 512 } },
  )
  fleet_cpus = sum([for each in values(local.fleet) : each.instances])
  fleet_gib  = sum([for each in values(local.fleet) : each.instances * each.memory_mib]) / 1024

  # In the units of the quotas: thousandths of a CPU, and bytes.
  quota_requests = var.request_platform_quota == "" ? {} : {
    CpuAllocPerProjectRegion = tostring(var.platform_quota.cpus * 1000)
    MemAllocPerProjectRegion = tostring(var.platform_quota.gib * 1073741824)
  }
}

# A request, not a setting: Google grants it at once, later, or not at all. `renderlane doctor --fleet` reads what was granted.
resource "google_cloud_quotas_quota_preference" "run" {
  for_each = local.quota_requests

  parent        = "projects/${var.project_id}"
  name          = "renderlane-${lower(each.key)}-${var.region}"
  service       = "run.googleapis.com"
  quota_id      = each.key
  dimensions    = { region = var.region }
  contact_email = var.request_platform_quota
  justification = "Renderlane renders images with up to ${local.fleet_cpus} instances of one CPU."

  quota_config {
    preferred_value = each.value
  }

  depends_on = [google_project_service.api]
}
