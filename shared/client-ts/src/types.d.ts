// Written by ./scripts/client-types from the OpenAPI description of the API.

/** As the data of a message on render-requests; without request_id one is generated. */
export interface RenderRequest {
  /** The caller's idempotency key, unique within its tenant: letters, digits and . _ : -, starting with a letter or digit, without '..'. */
  request_id: string;
  /** At least one character must be visible (no white space, control or zero-width character). */
  prompt: string;
  /** Who pays: letters, digits and . _ : -, starting with a letter or digit, without '..'. Ids are per tenant. */
  tenant?: string;
  /** Selects the model if `model` is not set. */
  purpose?: "draft" | "default" | "final";
  /** Model id or alias (checked at intake); a retired model is replaced by its successor. A deprecated one is called, with a note in the receipt. */
  model?: string;
  /** Checked at intake; a size that the model does not offer is delivered one size larger. */
  image_size?: "512" | "1K" | "2K" | "4K";
  /** Such as 16:9. Default: the model's own. Checked at intake against the model. */
  aspect_ratio?: string;
  /** Checked at intake against the model's limit and the allowed addresses. */
  references?: ({
    uri: string;
    /** Default: read from the bytes. */
    mime_type?: "image/png" | "image/jpeg" | "image/webp" | "image/heic" | "image/heif";
  })[];
  /** Checked at intake: the lane must be available and the model must offer it. */
  lane?: "standard" | "priority" | "flex" | "batch" | "vertex";
  priority?: "interactive" | "normal" | "bulk";
  /** Latest start, such as 2026-12-01T12:00:00Z; after it the request expires unpaid. A real day of 2000 to 2999. */
  deadline?: string;
  /** Maximum cost of all attempts together: dollars as text, such as "0.30". */
  max_cost_usd?: string;
  /** The worst route that is still wanted; "exact" forbids every step down. The model is checked at intake. */
  floor?: "exact" | {
    image_size?: "512" | "1K" | "2K" | "4K";
    model?: string;
  };
  /** Consent. */
  allow?: {
    /** Prompt and references may be sent to a third-party gateway. */
    gateway?: boolean;
    /** The request may take a day. */
    batch?: boolean;
    /** The request may go to Vertex AI, the same models in Google Cloud. Default: as the worker is configured, usually yes. */
    vertex?: boolean;
  };
  /** Id of the request, of the same tenant, whose image was not good enough. */
  escalates?: string;
  /** Name shared by related requests. */
  group?: string;
  /** Ground the image in search results; searches are charged. true: web pages; "image": images too. Checked at intake: not every model can search. */
  grounding?: false | true | "image";
  labels?: Record<string, string>;
  /** How much the model thinks first; thoughts are charged as text. Default: by purpose, from the catalogue. A model without that level takes the nearest one, and the receipt says so. */
  thinking?: "minimal" | "low" | "medium" | "high";
  /** The provider's thresholds by category. Checked at intake: not every API takes every category. */
  safety?: {
    hate_speech?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    dangerous_content?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    harassment?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    sexually_explicit?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    image_hate?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    image_dangerous_content?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    image_harassment?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
    image_sexually_explicit?: "block_low_and_above" | "block_medium_and_above" | "block_only_high" | "block_none" | "off";
  };
  /** What holds for the image beside the prompt: a style, a brand's rules. Charged as input. */
  system_instruction?: string;
  /** Default: as the provider sends it. What it does not send is converted by the worker, and the receipt says what that loses. */
  output_format?: "jpeg" | "png" | "webp";
  /** Of a jpeg or webp. Checked at intake: only together with such an output_format. */
  output_quality?: number;
}

/** One request, as its caller may see it. */
export interface RequestView {
  /** Of this form. */
  version: number;
  /** The idempotency key, unique within the tenant. */
  request_id: string;
  tenant: string;
  group: string | null;
  /** accepted, queued, released, rendering, batched; at the end succeeded, refused, failed, expired, cancelled, or rejected for a message that could not be taken. */
  status: "accepted" | "queued" | "released" | "rendering" | "batched" | "succeeded" | "refused" | "failed" | "expired" | "cancelled" | "rejected";
  /** Why it waits. */
  reason: string | null;
  created_at: string;
  finished_at: string | null;
  /** From acceptance to the start of the last attempt, or so far where none started. */
  wait_seconds: number | null;
  requested: RequestedRoute | null;
  delivered: DeliveredRoute | null;
  /** Where the image is; null while there is none. */
  image_url: string | null;
  /** Until when `image_url` works; null: it stays. */
  image_expires_at: string | null;
  /** Known cost of all attempts in dollars, six decimals. */
  cost_usd: string;
  /** metered (from tokens), listed (per image) or unknown; null where nothing was paid. */
  cost_basis: string | null;
  attempt_count: number;
  /** Why the route differs from what was requested. */
  reasons: string[];
  /** How the image differs from what was ordered. */
  mismatches: string[];
  outcome: OutcomeView | null;
  labels: Record<string, string>;
  trace_id: string | null;
  links: Links;
}

export interface RequestedRoute {
  model: string;
  image_size: string;
  lane: string;
}

export interface DeliveredRoute {
  model: string;
  image_size: string;
  lane: string;
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
}

export interface OutcomeView {
  /** For programs; each code has a heading in RUNBOOK.md. */
  code: string;
  message: string;
  /** What to do now; empty where nothing is to be done. */
  advice: string;
}

export interface Links {
  self: string;
  image: string;
  events: string;
  cancel: string;
}

/** What would happen to a request if it were submitted now. */
export interface Estimate {
  version: number;
  tenant: string;
  /** Of the chosen route; null while none is open. */
  estimate_usd: string | null;
  /** Why no route is open now; null where one is. */
  waits: string | null;
  /** Why the chosen route differs from what was requested. */
  reasons: string[];
  /** Best first. */
  routes: RouteEstimate[];
}

export interface RouteEstimate {
  lane: string;
  model: string;
  image_size: string;
  /** One attempt, on the safe side, in dollars; six decimals. */
  estimate_usd: string | null;
  /** chosen, possible or rejected. */
  verdict: "chosen" | "possible" | "rejected";
  /** Why it is rejected. */
  reason: string | null;
}
