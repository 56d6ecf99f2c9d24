// What an application writes: everything here must compile, and every line marked must not.
import { InvalidRequestError, Renderlane, hasEnded, type NewRequest, type RequestView } from "renderlane";

const client = new Renderlane({ baseUrl: "http://127.0.0.1:8080", token: async () => "token", tenant: "web" });
const request: NewRequest = { prompt: "a lighthouse", image_size: "2K", labels: { a: "b" }, floor: "exact" };

export async function run(signal: AbortSignal): Promise<string> {
  const view: RequestView = await client.render(request, { timeoutMs: 60_000, signal });
  for await (const change of client.events(view.request_id)) {
    if (hasEnded(change)) break;
  }
  const estimate = await client.estimate({ prompt: "a lighthouse" });
  const image: Blob = await client.image(view.request_id);
  try {
    await client.cancel(view.request_id);
  } catch (error) {
    if (error instanceof InvalidRequestError) return error.errors.map((one) => one.remedy).join();
  }
  return `${view.delivered?.width ?? 0} ${estimate.routes[0]?.model ?? ""} ${image.size} ${view.outcome?.advice ?? ""}`;
}

// @ts-expect-error a prompt is required
export const noPrompt: NewRequest = { image_size: "2K" };
// @ts-expect-error the K is a capital letter
export const lowerCase: NewRequest = { prompt: "x", image_size: "2k" };
// @ts-expect-error unknown fields are refused
export const unknown: NewRequest = { prompt: "x", size: "2K" };
// @ts-expect-error an address is required
export const noAddress = new Renderlane({});
