/**
 * A process that writes: `writer.ts URL NAME`. It migrates the database, says
 * `ready`, waits for a line of input, and then creates versions of a prompt and
 * moves its labels. Each write that was acknowledged is a line of output. It
 * ends when its input does.
 */

import { once } from "node:events";
import { createInterface } from "node:readline";
import { PromptdError } from "../../src/core/errors.ts";
import type { Caller } from "../../src/core/ports.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import type { Acknowledged } from "./processes.ts";

const [url = "", name = ""] = process.argv.slice(2);
const caller: Caller = { project: "default", actor: `process ${process.pid}` };

const database = await openDatabase(url);
await database.migrate();
const registry = new Registry(database);
console.log("ready");

const input = createInterface({ input: process.stdin });
let running = true;
input.once("close", () => {
  running = false;
});
await Promise.race([once(input, "line"), once(input, "close")]);

for (let count = 1; running; count++) {
  const text = `${process.pid} wrote ${count}`;
  const { version, revision } = await registry.createVersion(caller, {
    name,
    body: { type: "text", format: "mustache", template: text, config: {} },
    labels: [],
    commitMessage: text,
  });
  acknowledge({ revision, version, text });
  const label = `l${count % 10}`;
  const edit = { name, moves: [{ label, version }], reason: text };
  try {
    acknowledge({ revision: (await registry.setLabels(caller, edit)).revision, version, label });
  } catch (error) {
    // A copy was put back in between, and the version is gone with what it replaced.
    if (!(error instanceof PromptdError) || error.code !== "not_found") throw error;
  }
}
await database.close();

function acknowledge(written: Acknowledged): void {
  console.log(JSON.stringify(written));
}
