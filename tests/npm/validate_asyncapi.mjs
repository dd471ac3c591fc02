// Parses an AsyncAPI document given as a path and prints its diagnostics as JSON; exit code 1 on an error.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const messages = diagnostics.map(({ severity, code, message, path }) => ({
  severity,
  code,
  message,
  path: path.join("."),
}));
const operations = document?.operations().all().map((operation) => operation.id()) ?? [];
const channels = document?.channels().all().map((channel) => channel.address()) ?? [];
console.log(JSON.stringify({ messages, operations, channels }));
process.exitCode = document === undefined || messages.some(({ severity }) => severity === ERROR) ? 1 : 0;
