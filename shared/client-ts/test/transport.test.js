// The client against answers of the test's own: errors, retries, aborts and streams, without a server and without waiting.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ConflictError,
  ConnectionError,
  InvalidRequestError,
  NotAllowedError,
  NotFoundError,
  NotInTimeError,
  Renderlane,
  RenderlaneError,
  UnavailableError,
} from "renderlane";

const VIEW = { version: 1, request_id: "r-1", tenant: "default", status: "queued" };
const DONE = { ...VIEW, status: "succeeded" };
const json = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });

/** A client whose calls are answered in turn, by a response or by what fetch would throw. */
function answered(...answers) {
  const calls = [];
  const pauses = [];
  const client = new Renderlane({
    baseUrl: "http://render.test/",
    fetch: async (url, init) => {
      calls.push({ url, ...init });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      if (typeof answer === "function") return answer(init);
      return answer;
    },
    pause: async (ms) => void pauses.push(ms),
    random: () => 0.5,
  });
  return { client, calls, pauses };
}

test("a request without an id gets one, and retries keep it", async () => {
  const { client, calls } = answered(new TypeError("fetch failed"), json(503, {}), json(202, VIEW));
  await client.submit({ prompt: "a lighthouse" });
  const ids = calls.map((call) => JSON.parse(call.body).request_id);
  assert.equal(new Set(ids).size, 1);
  assert.match(ids[0], /^[0-9a-f-]{36}$/);
  assert.deepEqual(calls.map((call) => call.headers["idempotency-key"]), ids);
});

test("pauses grow, and Retry-After is respected up to a minute", async () => {
  const { client, pauses } = answered(
    json(503, {}), json(503, {}), json(429, {}, { "retry-after": "7" }), json(503, {}, { "retry-after": "9999" }), json(202, VIEW),
  );
  await client.submit({ prompt: "x" });
  assert.deepEqual(pauses, [187.5, 375, 7000, 60_000]);
});

test("after the last retry the error says whether anybody answered", async () => {
  const silent = answered(...Array(5).fill(new TypeError("fetch failed")));
  await assert.rejects(silent.client.get("r-1"), (error) => error instanceof ConnectionError && error.cause instanceof TypeError);
  const busy = answered(...Array.from({ length: 5 }, () => json(503, { title: "busy", errors: [] })));
  await assert.rejects(busy.client.get("r-1"), UnavailableError);
  assert.equal(busy.calls.length, 5);
});

for (const [status, kind] of [
  [400, InvalidRequestError], [401, NotAllowedError], [403, NotAllowedError], [404, NotFoundError], [409, ConflictError],
  [413, InvalidRequestError], [422, InvalidRequestError],
]) {
  test(`${status} is a ${kind.name}, and is not retried`, async () => {
    const field = { field: "image_size", found: '"9K"', allowed: "512, 1K, 2K, 4K", remedy: "Use one of these." };
    const { client, calls } = answered(json(status, { type: "about:blank", title: "No", status, errors: [field] }));
    await assert.rejects(client.submit({ prompt: "x" }), (error) => {
      assert(error instanceof kind);
      assert(error instanceof RenderlaneError);
      assert.equal(error.name, kind.name);
      assert.deepEqual(error.errors, [field]);
      assert.match(error.message, /image_size: found "9K"; allowed: 512, 1K, 2K, 4K\. Use one of these\./);
      return true;
    });
    assert.equal(calls.length, 1);
  });
}

test("a proxy's page is an error with its status", async () => {
  const { client } = answered(new Response("<html>Forbidden</html>", { status: 403 }));
  await assert.rejects(client.get("r-1"), (error) => error instanceof NotAllowedError && /HTTP 403/.test(error.message));
});

test("an abort ends the call with the caller's reason, also during a pause", async () => {
  const controller = new AbortController();
  const client = new Renderlane({
    baseUrl: "http://render.test",
    fetch: async () => {
      queueMicrotask(() => controller.abort(new Error("page left")));
      throw new TypeError("fetch failed");
    },
  });
  await assert.rejects(client.get("r-1", { signal: controller.signal }), /page left/);
  await assert.rejects(client.get("r-1", { signal: AbortSignal.abort(new Error("gone")) }), /gone/);
});

test("wait asks again until the end, and says when it is late", async () => {
  const { client, calls } = answered(json(200, VIEW), json(200, DONE));
  assert.equal((await client.wait("r-1")).status, "succeeded");
  assert.deepEqual(calls.map((call) => new URL(call.url).searchParams.get("wait")), ["25", "25"]);
  const late = answered(json(200, VIEW));
  await assert.rejects(late.client.wait("r-1", { timeoutMs: 0 }), (error) => error instanceof NotInTimeError && error.requestId === "r-1");
});

test("render returns at once for a request that has ended before", async () => {
  const { client, calls } = answered(json(202, DONE));
  assert.equal((await client.render({ request_id: "r-1", prompt: "x" })).status, "succeeded");
  assert.equal(calls.length, 1);
});

/** A stream that sends these pieces, then ends or breaks. */
function stream(pieces, broken = false) {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece !== undefined) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      else if (broken) controller.error(new TypeError("terminated"));
      else controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

const event = (view) => `event: status\ndata: ${JSON.stringify(view)}\n\n`;
async function collected(events) {
  const statuses = [];
  for await (const view of events) statuses.push(view.status);
  return statuses;
}

test("events are read in any pieces, with heartbeats and CRLF between them", async () => {
  const text = `retry: 1000\r\n\r\n: heartbeat\r\n\r\nid: 1\r\n${event({ ...VIEW, reason: "é" }).replaceAll("\n", "\r\n")}${event(DONE)}`;
  const bytes = [...new TextEncoder().encode(text)].map((byte) => Uint8Array.of(byte));
  const { client } = answered(stream(bytes));
  assert.deepEqual(await collected(client.events("r-1")), ["queued", "succeeded"]);
});

test("a broken stream is opened again, and nothing is told twice", async () => {
  const { client, calls } = answered(
    stream([event(VIEW)], true), stream([event(VIEW)]), stream([event(VIEW), event({ ...VIEW, status: "rendering" }), event(DONE)]),
  );
  assert.deepEqual(await collected(client.events("r-1")), ["queued", "rendering", "succeeded"]);
  assert.equal(calls.length, 3);
});

test("a stream that never has news ends with an error", async () => {
  const { client } = answered(...Array.from({ length: 5 }, () => stream([])));
  await assert.rejects(collected(client.events("r-1")), /without news/);
});

test("the stream is closed when the caller stops reading", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(event(VIEW))),
    cancel: () => void (cancelled = true),
  });
  const { client } = answered(new Response(body));
  for await (const view of client.events("r-1")) {
    assert.equal(view.status, "queued");
    break;
  }
  assert(cancelled);
});

test("a cancellation whose first answer was lost is no error", async () => {
  const { client } = answered(json(409, { title: "ended", errors: [] }), json(200, { ...VIEW, status: "cancelled" }));
  assert.equal((await client.cancel("r-1")).status, "cancelled");
  const late = answered(json(409, { title: "ended", errors: [] }), json(200, DONE));
  await assert.rejects(late.client.cancel("r-1"), ConflictError);
});

test("list follows the cursor", async () => {
  const { client, calls } = answered(json(200, { requests: [VIEW], cursor: "n" }), json(200, { requests: [DONE], cursor: null }));
  assert.deepEqual(await collected(client.list({ status: "queued" })), ["queued", "succeeded"]);
  assert.equal(new URL(calls[1].url).search, "?status=queued&cursor=n");
});

test("tenant, token and headers go with every call", async () => {
  const calls = [];
  let tokens = 0;
  const client = new Renderlane({
    baseUrl: "https://render.test/base/",
    tenant: "web",
    token: async () => `t-${(tokens += 1)}`,
    headers: { "x-app": "shop" },
    fetch: async (url, init) => {
      calls.push({ url, ...init });
      return json(200, VIEW);
    },
  });
  await client.submit({ prompt: "x" });
  await client.get("a:b");
  assert.equal(JSON.parse(calls[0].body).tenant, "web");
  assert.equal(calls[1].url, "https://render.test/base/v1/requests/a%3Ab?tenant=web");
  assert.deepEqual(calls.map((call) => call.headers.authorization), ["Bearer t-1", "Bearer t-2"]);
  assert.equal(calls[1].headers["x-app"], "shop");
});

test("only http and https addresses are taken", () => {
  assert.throws(() => new Renderlane({ baseUrl: "file:///etc/passwd" }), /allowed: http/);
});

test("where too many wait already, it looks now and then", async () => {
  const full = () => json(429, { title: "full", errors: [] }, { "retry-after": "1" });
  const waits = answered(full(), json(200, VIEW), full(), json(200, DONE));
  assert.equal((await waits.client.wait("r-1")).status, "succeeded");
  assert.deepEqual(waits.calls.map((call) => call.url.includes("wait=")), [true, false, true, false]);
  assert.deepEqual(waits.pauses, [2000]);
  const follows = answered(full(), json(200, VIEW), full(), json(200, VIEW), full(), json(200, DONE));
  const statuses = [];
  for await (const view of follows.client.events("r-1")) statuses.push(view.status);
  assert.deepEqual(statuses, ["queued", "succeeded"]);
});
