// A page that uploads a photo, has it edited, and follows the request until the image is there. The browser talks to
// this server only; the server talks to Renderlane.
import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { NotFoundError, ProblemError, Renderlane } from "renderlane";

const { RENDERLANE_URL = "http://127.0.0.1:8080", RENDERLANE_TOKEN, UPLOADS = "uploads", PORT = "3000" } = process.env;
const LARGEST_UPLOAD = 10_000_000;
const TYPES = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };
const uploads = resolve(UPLOADS);
const client = new Renderlane({ baseUrl: RENDERLANE_URL, ...(RENDERLANE_TOKEN ? { token: RENDERLANE_TOKEN } : {}) });

/** Where Renderlane may read the photo. In the cloud: put it into a bucket of RENDERLANE_REFERENCES, and return gs://... */
async function keep(bytes, type) {
  await mkdir(uploads, { recursive: true });
  const path = join(uploads, `${randomUUID()}.${TYPES[type]}`);
  await writeFile(path, bytes);
  return pathToFileURL(path).href;
}

async function edit(request, response, url) {
  const type = request.headers["content-type"] ?? "";
  // Another site's page could send a form here, but no image type: browsers ask first, and this server does not answer.
  if (!(type in TYPES)) return answer(response, 415, { error: `send one of ${Object.keys(TYPES).join(", ")}` });
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    if (size > LARGEST_UPLOAD) return answer(response, 413, { error: `at most ${LARGEST_UPLOAD} bytes` });
    pieces.push(piece);
  }
  const prompt = url.searchParams.get("prompt") ?? "";
  const uri = await keep(Buffer.concat(pieces), type);
  const view = await client.submit({ prompt, references: [{ uri, mime_type: type }], priority: "interactive", max_cost_usd: "0.30" });
  answer(response, 202, { id: view.request_id });
}

async function follow(response, id) {
  const left = new AbortController();
  response.on("close", () => left.abort());
  let begun = false;
  for await (const { status, reason, cost_usd, outcome } of client.events(id, { signal: left.signal })) {
    if (!begun) response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    begun = true;
    response.write(`data: ${JSON.stringify({ status, reason, cost_usd, advice: outcome?.advice })}\n\n`);
  }
  response.end();
}

async function show(response, id) {
  const image = await client.image(id);
  response.writeHead(200, { "content-type": image.type, "content-security-policy": "default-src 'none'; sandbox" });
  response.end(Buffer.from(await image.arrayBuffer()));
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function route(request, response) {
  const url = new URL(request.url ?? "/", "http://localhost");
  const [, area, id = "", part] = url.pathname.split("/").map(decodeURIComponent);
  if (request.method === "POST" && url.pathname === "/edits") return edit(request, response, url);
  if (request.method === "GET" && area === "edits" && part === "events") return follow(response, id);
  if (request.method === "GET" && area === "edits" && part === "image") return show(response, id);
  if (request.method === "GET" && url.pathname === "/") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    return response.end(await readFile(new URL("page.html", import.meta.url)));
  }
  return answer(response, 404, { error: "not found" });
}

const server = createServer((request, response) => {
  route(request, response).catch((error) => {
    if (response.headersSent || response.destroyed) return response.destroy();
    // The page's user sees what is wrong with the prompt; everything else is for the log.
    if (error instanceof ProblemError && error.status === 422) return answer(response, 422, { error: error.message });
    if (error instanceof NotFoundError) return answer(response, 404, { error: "not found" });
    console.error(error);
    return answer(response, 502, { error: "Renderlane did not answer; try again" });
  });
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`ready at http://127.0.0.1:${server.address().port}`));
