import { ConflictError, NotInTimeError, RenderlaneError, UnavailableError, noId } from "./errors.js";
import { eventsOf } from "./sse.js";
import { Transport } from "./transport.js";

const ENDED = new Set(["succeeded", "refused", "failed", "expired", "cancelled", "rejected"]);
const ID = /^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const LONG_POLL_SECONDS = 25;
const QUIET_STREAMS = 5;
const RECONNECT_MS = 500;
const POLL_MS = 2_000;

/**
 * Whether a request has reached a final status.
 * @param {import("./index.js").RequestView} view
 */
export function hasEnded(view) {
  return ENDED.has(view.status);
}

/**
 * Whether too many calls wait there already: one that waits looks now and then instead.
 * @param {unknown} error
 */
function isFull(error) {
  return error instanceof UnavailableError && error.status === 429;
}

export class Renderlane {
  /** @type {Transport} */
  #transport;
  /** @type {string | undefined} */
  #tenant;

  /** @param {import("./index.js").Options} options */
  constructor(options) {
    this.#transport = new Transport(options);
    this.#tenant = options.tenant;
  }

  /** @param {import("./index.js").NewRequest} request @param {import("./index.js").WaitOptions} [options] */
  async render(request, options = {}) {
    const begun = performance.now();
    const view = await this.submit(request, options);
    return hasEnded(view) ? view : this.#ended(view.request_id, { ...options, tenant: view.tenant }, begun);
  }

  /** @param {import("./index.js").NewRequest} request @param {import("./index.js").CallOptions} [options] */
  async submit(request, { signal, tenant } = {}) {
    const body = this.#filled(request, tenant);
    const headers = { "idempotency-key": body.request_id };
    return this.#json("/v1/requests", { method: "POST", body, headers, signal });
  }

  /** @param {string} requestId @param {import("./index.js").CallOptions} [options] */
  async get(requestId, { signal, tenant } = {}) {
    return this.#json(this.#path(requestId, "", tenant), { signal });
  }

  /** @param {string} requestId @param {import("./index.js").WaitOptions} [options] */
  async wait(requestId, options = {}) {
    return this.#ended(requestId, options, performance.now());
  }

  /** @param {string} requestId @param {import("./index.js").WaitOptions} options @param {number} begun The time limit counts from here. */
  async #ended(requestId, { signal, timeoutMs, tenant }, begun) {
    while (true) {
      const leftMs = timeoutMs === undefined ? Infinity : timeoutMs - (performance.now() - begun);
      const seconds = Math.min(LONG_POLL_SECONDS, Math.max(0, Math.ceil(leftMs / 1000)));
      let view;
      try {
        view = await this.#json(this.#path(requestId, "", tenant, { wait: String(seconds) }), { signal, waits: true });
      } catch (error) {
        if (!isFull(error)) throw error;
        view = await this.get(requestId, { signal, tenant });
        if (!hasEnded(view)) await this.#transport.pause(Math.max(0, Math.min(leftMs, POLL_MS)), signal);
      }
      if (hasEnded(view)) return view;
      if (timeoutMs !== undefined && performance.now() - begun >= timeoutMs) throw new NotInTimeError(requestId, timeoutMs);
    }
  }

  /**
   * @param {string} requestId
   * @param {import("./index.js").CallOptions} [options]
   * @returns {AsyncGenerator<import("./index.js").RequestView, void, undefined>}
   */
  async *events(requestId, { signal, tenant } = {}) {
    let last = "";
    for (let quiet = 0; quiet < QUIET_STREAMS; quiet += 1) {
      let response;
      try {
        response = await this.#transport.call(this.#path(requestId, "/events", tenant), {
          accept: "text/event-stream",
          stream: true,
          waits: true,
          signal,
        });
      } catch (error) {
        if (!isFull(error)) throw error;
        const view = await this.get(requestId, { signal, tenant });
        quiet = -1;
        const data = JSON.stringify(view);
        if (data !== last) yield view;
        last = data;
        if (hasEnded(view)) return;
        await this.#transport.pause(POLL_MS, signal);
        continue;
      }
      if (response.body === null) throw new RenderlaneError("the stream of events has no body");
      // The server ends a stream after some minutes; one that said anything was a good one.
      try {
        for await (const { event, data } of eventsOf(response.body)) {
          if (event !== "status") continue;
          /** @type {import("./index.js").RequestView} */
          const view = JSON.parse(data);
          quiet = -1;
          if (data !== last) {
            last = data;
            yield view;
          }
          if (hasEnded(view)) return;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof TypeError)) throw error; // a broken stream is opened again
      }
      await this.#transport.pause(RECONNECT_MS, signal);
    }
    throw new RenderlaneError(`${requestId}: the stream of events ended ${QUIET_STREAMS} times without news`);
  }

  /** @param {import("./index.js").NewRequest} request @param {import("./index.js").CallOptions} [options] */
  async estimate(request, { signal, tenant } = {}) {
    const body = this.#filled(request, tenant);
    const response = await this.#transport.call("/v1/estimate", { method: "POST", body, signal });
    return response.json();
  }

  /** @param {string} requestId @param {import("./index.js").CallOptions} [options] */
  async cancel(requestId, { signal, tenant } = {}) {
    try {
      return await this.#json(this.#path(requestId, "/cancel", tenant), { method: "POST", signal });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      // The answer to an earlier try may have been lost: cancelled is what was wanted.
      const view = await this.get(requestId, { signal, tenant });
      if (view.status === "cancelled") return view;
      throw error;
    }
  }

  /** @param {string} requestId @param {import("./index.js").CallOptions} [options] */
  async image(requestId, { signal, tenant } = {}) {
    const response = await this.#transport.call(this.#path(requestId, "/image", tenant), { accept: "image/*", signal });
    return response.blob();
  }

  /**
   * @param {import("./index.js").Filter} [filter]
   * @param {import("./index.js").CallOptions} [options]
   * @returns {AsyncGenerator<import("./index.js").RequestView, void, undefined>}
   */
  async *list(filter = {}, { signal, tenant = this.#tenant } = {}) {
    /** @type {string | null | undefined} */
    let cursor;
    do {
      const query = Object.entries({ ...filter, cursor, tenant }).filter(([, value]) => value != null);
      const search = new URLSearchParams(query.map(([name, value]) => [name, String(value)]));
      const response = await this.#transport.call(`/v1/requests${search.size ? `?${search}` : ""}`, { signal });
      const page = await response.json();
      yield* page.requests;
      cursor = page.cursor;
    } while (cursor != null);
  }

  /**
   * With an id, so that a repeated call is the same request, and with this client's tenant.
   * @param {import("./index.js").NewRequest} request
   * @param {string} [named]
   * @returns {import("./index.js").RenderRequest}
   */
  #filled(request, named = this.#tenant) {
    const tenant = request.tenant ?? named;
    return { ...request, request_id: request.request_id ?? crypto.randomUUID(), ...(tenant ? { tenant } : {}) };
  }

  /**
   * Throws for what is no id: an empty one would be the address of the list, and `..` one of another call.
   * @param {string} requestId
   * @param {string} [below]
   * @param {string} [tenant]
   * @param {Record<string, string>} [query]
   */
  #path(requestId, below = "", tenant = this.#tenant, query = {}) {
    if (typeof requestId !== "string" || !ID.test(requestId)) throw noId(requestId);
    const search = new URLSearchParams({ ...query, ...(tenant ? { tenant } : {}) });
    return `/v1/requests/${encodeURIComponent(requestId)}${below}${search.size ? `?${search}` : ""}`;
  }

  /**
   * @param {string} path
   * @param {import("./transport.js").Call} call
   * @returns {Promise<import("./index.js").RequestView>}
   */
  async #json(path, call) {
    const response = await this.#transport.call(path, call);
    return response.json();
  }
}
