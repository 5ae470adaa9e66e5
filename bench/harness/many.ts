/** Much in a registry, put there at once: call by call it would take minutes. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalBody, sha256 } from "../../src/core/content-hash.ts";
import type { PromptBody } from "../../src/core/prompt.ts";
import { type AdoptedVersion, type Adoption, Adoptions } from "../../src/store/adoptions.ts";
import { openDatabase } from "../../src/store/open.ts";
import { TEMPLATE } from "./promptd.ts";

const CALLER = { project: "default", actor: "bench" };

/** A data directory for a service that starts after. */
export interface Filled {
  folder: string;
  remove(): void;
}

export async function filledWith(adoptions: Iterable<Adoption>): Promise<Filled> {
  const folder = mkdtempSync(join(tmpdir(), "promptd-filled-"));
  const database = await openDatabase(`sqlite:${join(folder, "promptd.db")}`);
  await database.migrate();
  const store = new Adoptions(database);
  for (const adoption of adoptions) await store.adopt(CALLER, adoption);
  await database.close();
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** `many/0`, `many/1`, …, each with 2 KB of its own. */
export function* manyPrompts(count: number): Iterable<Adoption> {
  for (let number = 0; number < count; number++) {
    const version = versionOf(1, `${TEMPLATE}${number}`);
    const labels = [labelOf("production", version)];
    yield { name: `many/${number}`, versions: [version], beside: { labels, tags: [] }, reason: "" };
  }
}

export function versionOf(version: number, template: string): AdoptedVersion {
  const body: PromptBody = { type: "text", format: "mustache", config: {}, template };
  return { version, body, author: "bench", createdAt: new Date(), commitMessage: "" };
}

export function labelOf(label: string, { version, body }: AdoptedVersion) {
  return { label, version, contentHash: sha256(canonicalBody(body)) };
}
