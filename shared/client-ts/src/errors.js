/** Everything this client throws, apart from the caller's own abort reason. */
export class RenderlaneError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The API answered with a problem document (RFC 9457). */
export class ProblemError extends RenderlaneError {
  /** @param {import("./index.js").Problem} problem */
  constructor(problem) {
    const detail = problem.detail ?? problem.title;
    const fields = problem.errors.map((each) => `${each.field}: found ${each.found}; allowed: ${each.allowed}. ${each.remedy}`);
    super([detail, ...fields.filter((field) => !detail.includes(field))].join("\n"));
    this.status = problem.status;
    this.problem = problem;
    this.errors = problem.errors;
  }
}

/** 400, 413 or 422: the request was not accepted; `errors` names each field. Nothing was queued. */
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
  /** @param {string} requestId @param {number} timeoutMs */
  constructor(requestId, timeoutMs) {
    super(`${requestId}: no result within ${timeoutMs} ms; the request continues`);
    this.requestId = requestId;
  }
}

/**
 * As the API would answer it, without a call.
 * @param {unknown} requestId
 */
export function noId(requestId) {
  const error = {
    field: "request_id",
    found: String(JSON.stringify(requestId)).slice(0, 80),
    allowed: "1 to 128 letters, digits and . _ : -, starting with a letter or digit, without '..'",
    remedy: "Use the id of a request.",
  };
  return new InvalidRequestError({ type: "about:blank", title: "The request is not valid", status: 422, errors: [error] });
}

/**
 * @param {Response} response
 * @returns {Promise<ProblemError>}
 */
export async function problemOf(response) {
  const problem = await readProblem(response);
  switch (response.status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return new InvalidRequestError(problem);
    case 401:
    case 403:
      return new NotAllowedError(problem);
    case 404:
      return new NotFoundError(problem);
    case 409:
      return new ConflictError(problem);
    default:
      return response.status === 429 || response.status >= 500 ? new UnavailableError(problem) : new ProblemError(problem);
  }
}

/**
 * What a proxy in between answers is no problem document: then the status says what there is to say.
 * @param {Response} response
 * @returns {Promise<import("./index.js").Problem>}
 */
async function readProblem(response) {
  const text = await response.text().catch(() => "");
  /** @type {Record<string, unknown>} */
  let document = {};
  try {
    const parsed = JSON.parse(text);
    if (parsed !== null && typeof parsed === "object" && !Array.isArray(parsed)) document = parsed;
  } catch {
    // not JSON
  }
  const { type, title, detail, errors } = document;
  return {
    type: typeof type === "string" ? type : "about:blank",
    title: typeof title === "string" ? title : `HTTP ${response.status} ${response.statusText}`.trim(),
    status: response.status,
    ...(typeof detail === "string" ? { detail } : {}),
    errors: Array.isArray(errors) ? errors : [],
  };
}
