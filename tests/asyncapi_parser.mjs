// The official AsyncAPI parser's judgement of a document: node asyncapi_parser.mjs DOCUMENT MODULES
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [path, modules] = process.argv.slice(2).map((name) => resolve(name));
const { Parser } = createRequire(`${modules}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), { source: path });
const names = ["error", "warning", "info", "hint"];
for (const { severity, path: place, message } of diagnostics) {
  console.log(`${names[severity]} ${place.join(".")}: ${message}`);
}
if (document === undefined || diagnostics.some(({ severity }) => severity <= 1)) process.exit(1);
const messages = document.allMessages().all();
const bare = messages.filter((message) => !message.hasPayload() || "$ref" in message.payload().json());
if (bare.length) throw new Error(`no payload: ${bare.map((message) => message.id())}`);
console.log(`${document.info().title()} ${document.info().version()}: valid AsyncAPI ${document.version()}, `
  + `${document.channels().length} channels, ${messages.length} messages`);
