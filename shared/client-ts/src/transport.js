import { ConnectionError, problemOf } from "./errors.js";

const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504]);
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;
const LONGEST_RETRY_AFTER_MS = 60_000;

/**
 * @typedef {object} Call
 * @property {string} [method]
 * @property {unknown} [body]
 * @property {string} [accept]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal | undefined} [signal]
 * @property {boolean} [waits] It waits there: where it is told that too many do (429), it is not repeated.
 * @property {boolean} [stream] The body is read by the caller, for as long as it comes.
 */

/** One HTTP call, repeated while that is safe and useful: every call of this API may be repeated. */
export class Transport {
  /** @param {import("./index.js").Options} options */
  constructor(options) {
    const { baseUrl, token, headers = {}, retries = 4, timeoutMs = 60_000 } = options;
    const url = new URL(baseUrl);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`baseUrl: found ${url.protocol}; allowed: http:// or https://`);
    }
    this.base = url.href.replace(/\/+$/, "");
    this.token = token;
    this.headers = headers;
    this.retries = retries;
    this.timeoutMs = timeoutMs;
    const { fetch: send = globalThis.fetch } = options;
    /** @type {typeof globalThis.fetch} */
    this.send = (input, init) => send(input, init);
    this.pause = options.pause ?? pause;
    this.random = options.random ?? Math.random;
  }

  /**
   * The response, whose status is 2xx. Throws a ProblemError, a ConnectionError, or the caller's abort reason.
   * @param {string} path
   * @param {Call} [call]
   * @returns {Promise<Response>}
   */
  async call(path, call = {}) {
    for (let number = 0; ; number += 1) {
      call.signal?.throwIfAborted();
      /** @type {number | undefined} */
      let waitMs;
      try {
        const response = await this.once(path, call);
        if (response.ok) return response;
        const isOver = call.waits === true && response.status === 429;
        if (number >= this.retries || isOver || !RETRIED.has(response.status)) throw await problemOf(response);
        waitMs = retryAfter(response);
        await response.body?.cancel().catch(() => {});
      } catch (error) {
        call.signal?.throwIfAborted();
        if (!isConnectionTrouble(error)) throw error;
        if (number >= this.retries) {
          throw new ConnectionError(`${this.base} did not answer; is the address right, and is it running?`, { cause: error });
        }
      }
      const backOff = Math.min(FIRST_PAUSE_MS * 2 ** number, LONGEST_PAUSE_MS);
      await this.pause(Math.max(waitMs ?? 0, backOff * (0.5 + this.random() / 2)), call.signal);
    }
  }

  /**
   * @param {string} path
   * @param {Call} call
   */
  async once(path, { method = "GET", body, accept = "application/json", headers = {}, signal, stream = false }) {
    const token = typeof this.token === "function" ? await this.token() : this.token;
    // A stream stays open for as long as the request takes; only its beginning has a time limit.
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DOMException("no answer in time", "TimeoutError")), this.timeoutMs);
    const either = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal;
    try {
      const response = await this.send(`${this.base}${path}`, {
        method,
        headers: {
          accept,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...this.headers,
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: either,
      });
      if (!stream && response.ok) {
        // The whole body within the time limit; a JSON answer and an image fit in memory.
        return new Response([204, 205, 304].includes(response.status) ? null : await response.blob(), response);
      }
      return response;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * fetch reports trouble as TypeError, a broken body as TypeError too, and the time limit as TimeoutError.
 * @param {unknown} error
 */
function isConnectionTrouble(error) {
  return error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError");
}

/** @param {Response} response @returns {number | undefined} */
function retryAfter(response) {
  const text = response.headers.get("retry-after");
  if (text === null) return undefined;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0) * 1000, LONGEST_RETRY_AFTER_MS) : undefined;
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    function stop() {
      clearTimeout(timer);
      reject(signal?.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}
