import type { ChangeKind } from "../core/change.ts";
import type { Caller } from "../core/ports.ts";
import { appendChange, type ChangeDetail } from "./change-log.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** One mutation of one prompt, inside the transaction that holds all of it. */
export interface Mutation {
  db: Connection;
  prompt: PromptKey;
  actor: string;
  origin: string | undefined;
  scopes: Caller["scopes"];
  /** Of the caller, who is told the names of no other prompts. */
  promptPatterns: Caller["promptPatterns"];
  /** Milliseconds since 1970. */
  now: number;
  newId: () => string;
}

/** Appends the mutation's change, which gives the prompt its new revision. */
export async function recordChange(
  { db, prompt, actor, origin, now }: Pick<Mutation, "db" | "prompt" | "actor" | "origin" | "now">,
  kind: ChangeKind,
  reason: string,
  detail: ChangeDetail,
): Promise<number> {
  const change = { kind, actor, origin, reason, createdAt: now, ...detail };
  const revision = await appendChange(db, prompt, change);
  await db
    .updateTable("prompts")
    .set({ revision, updated_at: now })
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name)
    .execute();
  return revision;
}
