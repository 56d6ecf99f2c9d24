// Parses the AsyncAPI document named by the first argument; prints its diagnostics and its channels as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const problems = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join(".") }));
const channels = document?.channels().all().map((channel) => channel.address()) ?? [];
console.log(JSON.stringify({ problems, channels }));
