import { deserialize, serialize } from "node:v8";
import type { LastKnownRollouts } from "../core/cache-ports.ts";
import type { ProjectRollout } from "../core/rollout/ports.ts";
import type { LastKnownFile } from "./last-known-good.ts";

/** All in one row, which is written behind. */
const NAME = "rollouts";

/** The rollouts that split anybody, in the file of what was last known good. */
export class LastKnownRolloutsInFile implements LastKnownRollouts {
  readonly #file: LastKnownFile;

  constructor(file: LastKnownFile) {
    this.#file = file;
  }

  get(): readonly ProjectRollout[] {
    const waiting = this.#file.waiting(NAME);
    if (waiting !== undefined) return waiting.value as readonly ProjectRollout[];
    const kept = this.#file.read((db) => {
      const sql = "select content from documents where name = ?";
      const row = db.prepare(sql).get([NAME]) as { content: Buffer } | undefined;
      return row && (deserialize(row.content) as ProjectRollout[]);
    });
    return kept ?? [];
  }

  put(rollouts: readonly ProjectRollout[]): void {
    this.#file.write(NAME, rollouts, (db) => {
      const row = [NAME, serialize(rollouts)];
      db.prepare("insert or replace into documents values (?, ?)").run(row);
    });
  }
}
