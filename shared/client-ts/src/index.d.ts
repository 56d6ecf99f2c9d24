import type { Estimate, RenderRequest, RequestView } from "./types.js";

export type { Estimate, RenderRequest, RequestView };

/** A request; without `request_id` it gets a fresh one, so that retries within one call are one request. */
export type NewRequest = Omit<RenderRequest, "request_id"> & { request_id?: string };

/** One wrong field. */
export interface FieldProblem {
  field: string;
  found: string;
  allowed: string;
  remedy: string;
}

/** RFC 9457. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  errors: FieldProblem[];
}

export interface Options {
  /** Of the API: `http://127.0.0.1:8080` for `renderlane up`, the address of the function `api` in the cloud. */
  baseUrl: string | URL;
  /** A bearer token, such as a Google identity token; a function is asked before every call. */
  token?: string | (() => string | Promise<string>);
  /** Whose requests these are. Default: the caller's own tenant. */
  tenant?: string;
  /** Sent with every call. */
  headers?: Record<string, string>;
  /** How often a call is repeated after a connection error, 429 or 5xx. Default 4. */
  retries?: number;
  /** Time limit of one call, not of a wait. Default 60,000. */
  timeoutMs?: number;
  /** Instead of the global one. */
  fetch?: typeof globalThis.fetch;
  /** For tests: waits between two tries. */
  pause?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** For tests: the source of jitter, in [0, 1). */
  random?: () => number;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Whose request it is, instead of the client's own tenant. */
  tenant?: string | undefined;
}

export interface WaitOptions extends CallOptions {
  /** After it, NotInTimeError. Default: none. */
  timeoutMs?: number | undefined;
}

export interface Filter {
  status?: RequestView["status"];
  model?: string;
  group?: string;
  /** RFC 3339: created since then. */
  since?: string;
}

/** Whether a request has reached a final status. */
export function hasEnded(view: RequestView): boolean;

export class Renderlane {
  constructor(options: Options);

  /** Submit, and wait for the end: also one that failed or was refused, see `status`. */
  render(request: NewRequest, options?: WaitOptions): Promise<RequestView>;

  /** Accepted, not yet ended. The same id with the same content is the same request, and free. */
  submit(request: NewRequest, options?: CallOptions): Promise<RequestView>;

  get(requestId: string, options?: CallOptions): Promise<RequestView>;

  /** The view, when the request has ended. Throws NotInTimeError. */
  wait(requestId: string, options?: WaitOptions): Promise<RequestView>;

  /** A view for every change, the last one final. A broken connection is opened again. */
  events(requestId: string, options?: CallOptions): AsyncGenerator<RequestView, void, undefined>;

  /** The routes that a request would have now, with their cost. Nothing is queued. */
  estimate(request: NewRequest, options?: CallOptions): Promise<Estimate>;

  /** Ends a request that has not begun. Throws ConflictError for one that has ended otherwise. */
  cancel(requestId: string, options?: CallOptions): Promise<RequestView>;

  /** The image; its `type` is the media type. Throws ConflictError while there is none. */
  image(requestId: string, options?: CallOptions): Promise<Blob>;

  /** Newest first, page by page. */
  list(filter?: Filter, options?: CallOptions): AsyncGenerator<RequestView, void, undefined>;
}

/** The body of a result webhook. */
export interface WebhookEvent {
  /** `render.` and the final status, or `render.rejected` of a message that could not be taken. */
  type: string;
  timestamp: string;
  data: RequestView;
}

/**
 * The event of a result webhook, if it was signed with the endpoint's secret (`whsec_...`) within five minutes of now.
 * `body` is the raw body. Throws WebhookError. Deliveries come at least once: ignore a `webhook-id` that you have processed.
 */
export function verifyWebhook(
  secret: string,
  headers: Headers | Record<string, string | string[] | undefined>,
  body: string | Uint8Array,
  options?: { now?: Date },
): Promise<WebhookEvent>;

/** Everything the client throws, apart from the caller's own abort reason. */
export class RenderlaneError extends Error {
  constructor(message: string, options?: ErrorOptions);
}

/** The API answered with a problem document. */
export class ProblemError extends RenderlaneError {
  constructor(problem: Problem);
  readonly status: number;
  readonly problem: Problem;
  readonly errors: FieldProblem[];
}

/** 400, 413, 415 or 422: `errors` names each field. Nothing was queued. */
export class InvalidRequestError extends ProblemError {}

/** 401 or 403: no caller that may use this tenant. */
export class NotAllowedError extends ProblemError {}

/** 404: the tenant has no request of that id. */
export class NotFoundError extends ProblemError {}

/** 409: the id belongs to other content, the request has ended, or there is no image. */
export class ConflictError extends ProblemError {}

/** 429 or 5xx, after all retries. The call is safe to repeat. */
export class UnavailableError extends ProblemError {}

/** No answer, after all retries. The call is safe to repeat. */
export class ConnectionError extends RenderlaneError {}

/** The request has not ended in time. It continues: wait again with the same id. */
export class NotInTimeError extends RenderlaneError {
  constructor(requestId: string, timeoutMs: number);
  readonly requestId: string;
}

/** The delivery is not Renderlane's, was changed on its way, or is too old. Answer 400 and do nothing else. */
export class WebhookError extends RenderlaneError {}
