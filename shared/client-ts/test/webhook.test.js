// A delivery that the worker's own code signed; its file is named by DELIVERY.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WebhookError, verifyWebhook } from "renderlane";

const { headers, body, now: text, secrets, wrong } = JSON.parse(readFileSync(process.env.DELIVERY ?? "", "utf8"));
const now = new Date(text);
const late = new Date(now.getTime() + 301_000);

test("it is verified with the new and with the old secret, from text, bytes, and Headers", async () => {
  for (const secret of secrets) {
    const event = await verifyWebhook(secret, headers, body, { now });
    assert.equal(event.type, "render.succeeded");
    assert.deepEqual(event.data.labels, { é: "ü" });
    assert.deepEqual(await verifyWebhook(secret, new Headers(headers), new TextEncoder().encode(body), { now }), event);
  }
});

for (const [what, call] of Object.entries({
  "another secret": () => verifyWebhook(wrong, headers, body, { now }),
  "another body": () => verifyWebhook(secrets[0], headers, `${body} `, { now }),
  "another id": () => verifyWebhook(secrets[0], { ...headers, "webhook-id": "msg_2" }, body, { now }),
  "another time": () => verifyWebhook(secrets[0], { ...headers, "webhook-timestamp": `${headers["webhook-timestamp"] - 1}` }, body, { now }),
  "an old delivery": () => verifyWebhook(secrets[0], headers, body, { now: late }),
  "no signature": () => verifyWebhook(secrets[0], { ...headers, "webhook-signature": undefined }, body, { now }),
  "no base64": () => verifyWebhook(secrets[0], { ...headers, "webhook-signature": "v1,%%" }, body, { now }),
  "another version": () => verifyWebhook(secrets[0], { ...headers, "webhook-signature": headers["webhook-signature"].replaceAll("v1,", "v2,") }, body, { now }),
})) {
  test(`${what} is refused`, () => assert.rejects(call, WebhookError));
}
