export { Renderlane, hasEnded } from "./client.js";
export {
  ConflictError,
  ConnectionError,
  InvalidRequestError,
  NotAllowedError,
  NotFoundError,
  NotInTimeError,
  ProblemError,
  RenderlaneError,
  UnavailableError,
} from "./errors.js";
export { WebhookError, verifyWebhook } from "./webhook.js";
