import { RenderlaneError } from "./errors.js";

const TOLERANCE_SECONDS = 300;

/** The delivery is not Renderlane's, was changed on its way, or is too old. Answer 400 and do nothing else. */
export class WebhookError extends RenderlaneError {}

/**
 * @param {string} secret
 * @param {Headers | Record<string, string | string[] | undefined>} headers
 * @param {string | Uint8Array} body
 * @param {{ now?: Date }} [options]
 * @returns {Promise<import("./index.js").WebhookEvent>}
 */
export async function verifyWebhook(secret, headers, body, { now = new Date() } = {}) {
  const id = headerOf(headers, "webhook-id");
  const timestamp = headerOf(headers, "webhook-timestamp");
  const signatures = headerOf(headers, "webhook-signature");
  if (!/^\d+$/.test(timestamp) || Math.abs(now.getTime() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) {
    throw new WebhookError("webhook-timestamp is more than five minutes away from now");
  }
  const content = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = new Uint8Array([...new TextEncoder().encode(`${id}.${timestamp}.`), ...content]);
  const key = await crypto.subtle.importKey("raw", bytesOf(secret.replace(/^whsec_/, "")), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  for (const signature of signatures.split(" ")) {
    const [version, encoded = ""] = signature.split(",");
    // `verify` compares in constant time.
    if (version === "v1" && (await crypto.subtle.verify("HMAC", key, bytesOf(encoded), signed))) {
      return JSON.parse(new TextDecoder().decode(content));
    }
  }
  throw new WebhookError("no signature fits: is it the endpoint's secret, and the body as it was received?");
}

/**
 * @param {Headers | Record<string, string | string[] | undefined>} headers
 * @param {string} name
 */
function headerOf(headers, name) {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  if (typeof value !== "string") throw new WebhookError(`the header ${name} is missing`);
  return value;
}

/** @param {string} text */
function bytesOf(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new WebhookError("found text that is not base64 in the secret or in webhook-signature");
  }
}
