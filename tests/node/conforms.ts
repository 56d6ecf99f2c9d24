// What is written in JavaScript is what index.d.ts declares.
import * as declared from "renderlane";
import * as client from "./client/src/client.js";
import * as errors from "./client/src/errors.js";
import * as webhook from "./client/src/webhook.js";

export const renderlane: typeof declared.Renderlane = client.Renderlane;
export const hasEnded: typeof declared.hasEnded = client.hasEnded;
export const classes: Omit<typeof declared, "Renderlane" | "hasEnded" | "verifyWebhook" | "WebhookError"> = errors;
export const verifyWebhook: typeof declared.verifyWebhook = webhook.verifyWebhook;
export const WebhookError: typeof declared.WebhookError = webhook.WebhookError;
