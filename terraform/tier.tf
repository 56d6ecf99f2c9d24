# The billing account of the Gemini API: its tier and its cap. Both only inform: the limits are Google's.

variable "billing_tier" {
  description = "RENDERLANE_TIER: tier of the billing account (1, 2, 3); empty = unknown."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[a-z0-9-]*$", var.billing_tier))
    error_message = "billing_tier: allowed is a tier of the catalogue such as 1, 2 or 3, or nothing."
  }
}

variable "monthly_cap_usd" {
  description = "RENDERLANE_MONTHLY_CAP: what the billing account may spend in a month, where it is not its tier's; 0 = its tier's."
  type        = number
  default     = 0

  validation {
    condition     = var.monthly_cap_usd >= 0
    error_message = "monthly_cap_usd: allowed are dollars from 0."
  }
}
