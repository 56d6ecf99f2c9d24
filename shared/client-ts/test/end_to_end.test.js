// The client against a running `renderlane up`, whose address is in RENDERLANE_URL.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError, InvalidRequestError, NotFoundError, Renderlane, hasEnded } from "renderlane";

const { RENDERLANE_URL: baseUrl } = process.env;
assert(baseUrl, "set RENDERLANE_URL");
const client = new Renderlane({ baseUrl, tenant: "web" });

test("render returns the view of the finished request, and image its bytes", async () => {
  const view = await client.render({ prompt: "a lighthouse", image_size: "2K", labels: { from: "node" } }, { timeoutMs: 60_000 });
  assert.equal(view.status, "succeeded");
  assert.equal(view.tenant, "web");
  assert.equal(view.delivered?.image_size, "2K");
  assert.deepEqual(view.labels, { from: "node" });
  assert.match(view.cost_usd, /^\d+\.\d{6}$/);
  const image = await client.image(view.request_id);
  assert.match(image.type, /^image\//);
  assert(image.size > 1000);
});

test("the same id is the same request, and other content is a conflict", async () => {
  const request = { request_id: "ts-same", prompt: "a red cube" };
  const first = await client.render(request);
  const again = await client.render(request);
  assert.equal(again.finished_at, first.finished_at);
  assert.equal(again.attempt_count, 1);
  await assert.rejects(client.submit({ ...request, prompt: "a blue cube" }), ConflictError);
});

test("events tell every change until the end", async () => {
  const { request_id: id } = await client.submit({ prompt: "a green cube" });
  const statuses = [];
  for await (const view of client.events(id)) statuses.push(view.status);
  assert.equal(statuses.at(-1), "succeeded");
});

test("a wrong request names each field", async () => {
  await assert.rejects(client.submit({ prompt: "x", image_size: /** @type {any} */ ("9K"), purpose: /** @type {any} */ ("fun") }), (error) => {
    assert(error instanceof InvalidRequestError);
    assert.deepEqual(error.errors.map((each) => each.field).sort(), ["image_size", "purpose"]);
    return true;
  });
});

test("an estimate queues nothing", async () => {
  const estimate = await client.estimate({ prompt: "a lighthouse", purpose: "final" });
  assert.match(estimate.estimate_usd ?? "", /^\d+\.\d{6}$/);
  assert(estimate.routes.some((route) => route.verdict === "chosen"));
});

test("a batch request can be cancelled before it begins, and once only", async () => {
  const { request_id: id } = await client.submit({ prompt: "a grey cube", lane: "batch", allow: { batch: true } });
  const view = await client.cancel(id);
  const ended = hasEnded(view) ? view : await client.wait(id, { timeoutMs: 60_000 });
  assert.equal(ended.status, "cancelled");
  assert.equal((await client.cancel(id)).status, "cancelled");
});

test("another tenant does not see the request", async () => {
  await client.render({ request_id: "ts-mine", prompt: "a white cube" });
  await assert.rejects(new Renderlane({ baseUrl, tenant: "other" }).get("ts-mine"), NotFoundError);
});

test("list finds what was rendered", async () => {
  const ids = [];
  for await (const view of client.list({ status: "succeeded" })) ids.push(view.request_id);
  assert(ids.includes("ts-same"));
});

test("a request of another tenant of the caller is rendered and read by naming it", async () => {
  const anyone = new Renderlane({ baseUrl });
  const view = await anyone.render({ prompt: "a lighthouse", tenant: "shop" }, { timeoutMs: 60_000 });
  assert.deepEqual([view.status, view.tenant], ["succeeded", "shop"]);
  const { request_id: id } = view;
  await assert.rejects(anyone.image(id), NotFoundError);
  assert((await anyone.image(id, { tenant: "shop" })).size > 1000);
  assert.equal((await anyone.get(id, { tenant: "shop" })).tenant, "shop");
  assert.equal((await client.submit({ prompt: "a cat" }, { tenant: "shop" })).tenant, "shop");
  const ids = [];
  for await (const each of anyone.list({}, { tenant: "shop" })) ids.push(each.request_id);
  assert(ids.includes(id));
  for await (const each of anyone.events(id, { tenant: "shop" })) assert.equal(each.status, "succeeded");
});

test("what is no id is refused without a call", async () => {
  const nowhere = new Renderlane({ baseUrl: "http://127.0.0.1:1", retries: 0 });
  for (const id of ["", "..", "a/b", "a~b", "a b", ".a", "a".repeat(129), /** @type {any} */ (undefined)]) {
    for (const call of [nowhere.get(id), nowhere.wait(id), nowhere.image(id), nowhere.cancel(id), nowhere.events(id).next()]) {
      await assert.rejects(call, (error) => error instanceof InvalidRequestError && error.errors[0]?.field === "request_id");
    }
  }
});

test("an error says each thing once, and a time limit is the caller's own", async () => {
  await assert.rejects(client.submit({ prompt: "" }), (error) => {
    assert(error instanceof InvalidRequestError);
    assert.equal(error.message.split("prompt: found").length, 2);
    return true;
  });
  await assert.rejects(client.get("nobody"), (error) => error instanceof NotFoundError && error.errors[0]?.field === "request_id");
  const late = client.render({ prompt: "a cube", lane: "batch" }, { timeoutMs: 300 });
  await assert.rejects(late, /no result within 300 ms; the request continues/);
});
