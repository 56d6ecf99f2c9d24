# Indexes for the queries of shared/core/queries.py, and no others: firestore.json is written by ./scripts/firestore-layout.
#
# `never` are the fields that no query searches alone, prompts (`request`) first: each would cost an entry a write.
# What stays is a ceiling: a collection with an indexed field that grows with time (created_at, updated_at, expire_at)
# takes 500 writes a second. A request is written about six times, so that is some 80 requests a second, 4,800 a minute.

locals {
  firestore = jsondecode(file("${path.module}/firestore.json"))
  composite = {
    for each in local.firestore.composite :
    "${each.collection} ${join(" ", [for field in each.fields : field[0]])}" => each
  }
  # One entry for each field: the order it is searched in alone, or none.
  fields = merge(
    merge([for collection, names in local.firestore.never : {
      for name in names : "${collection} ${name}" => { collection = collection, field = name, order = null }
    }]...),
    merge([for collection, names in local.firestore.alone : {
      for name, order in names : "${collection} ${name}" => { collection = collection, field = name, order = order }
    }]...),
  )
}

resource "google_firestore_index" "composite" {
  for_each = local.composite

  database   = google_firestore_database.this.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value[0]
      order      = fields.value[1]
    }
  }
}

resource "google_firestore_field" "field" {
  for_each = local.fields

  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  index_config {
    dynamic "indexes" {
      for_each = each.value.order == null ? [] : [each.value.order]

      content {
        order       = indexes.value
        query_scope = "COLLECTION"
      }
    }
  }

  dynamic "ttl_config" {
    for_each = each.value.field == "expire_at" && contains(local.firestore.expiring, each.value.collection) ? [1] : []

    content {}
  }
}
