import { join } from "node:path";
import { define } from "../../src/core/rollout/definition.ts";
import type { Rollout } from "../../src/core/rollout/rollout.ts";
import { openDatabase } from "../../src/store/open.ts";
import { StoredRollouts } from "../../src/store/rollouts.ts";
import type { TestService } from "./service.ts";

/** A rollout that sends 5 % of a label's callers, and one user more, to version 2. */
export function canary(name: string, label = "production", weight = 500): Rollout {
  return define({
    name,
    label,
    state: "running",
    salt: "salt\u0000",
    arms: [{ name: "canary", target: { version: 2 }, weight }],
    overrides: [{ userId: "vip\u0000", arm: "canary" }],
  });
}

/** Puts a rollout into a service's database, as another process does. */
export async function putRollout({ dataDir }: TestService, rollout: Rollout): Promise<number> {
  const database = await openDatabase(`sqlite:${join(dataDir, "promptd.db")}`);
  try {
    const store = new StoredRollouts(database);
    const caller = { project: "default", actor: "tester" };
    const standing = await store.findRollout(caller, rollout);
    const expectedRevision = standing?.revision ?? 0;
    const { revision } = await store.putRollout(caller, { rollout, expectedRevision, reason: "" });
    return revision;
  } finally {
    await database.close();
  }
}
