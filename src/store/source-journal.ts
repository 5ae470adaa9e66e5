import { setTimeout as sleep } from "node:timers/promises";
import { v7 } from "uuid";
import { PROMPT_CHANGE_KINDS } from "../core/change.ts";
import { PromptdError } from "../core/errors.ts";
import { requireRevision } from "../core/mutation-rules.ts";
import type { Caller } from "../core/ports.ts";
import type {
  Sighting,
  SourceAsked,
  SourceChange,
  SourceEdit,
  SourceEdited,
  SourceJournal,
} from "../core/source-journal.ts";
import { appendChange } from "./change-log.ts";
import type { Connection, Database } from "./database.ts";
import { heedLabelPolicies } from "./label-policies.ts";
import type { PromptKey } from "./prompt-key.ts";
import { abortedLabels, endingRollouts, requireOngoing } from "./rollout-rows.ts";
import { requireProject } from "./standing.ts";

/** How long a mutation waits for others of the same prompt, and how often it looks. */
const TURN_MS = 10_000;
const LOOK_MS = 50;

/**
 * From then on a mutation sends nothing more, and a while later nobody waits for it:
 * its last request has ended by then, and clocks of replicas differ.
 */
const SENDING_MS = 10_000;
const EXPIRY_MS = 20_000;

/** Mutations of prompts that live elsewhere, in promptd's own database. */
export class StoredSourceJournal implements SourceJournal {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  revisions(project: string, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#database.query(undefined, (db) => revisionsOf(db, project, names));
  }

  async begin(caller: Caller, asked: SourceAsked): Promise<SourceEdit> {
    const deadline = this.#now() + TURN_MS;
    for (;;) {
      const edit = await this.#attempt(caller, asked);
      if (edit !== undefined) return edit;
      if (this.#now() >= deadline) {
        const message = `prompt "${asked.name}" is being changed by somebody else; try again`;
        throw new PromptdError("unavailable", message, { retryAfterMs: 1000 });
      }
      // Looking is cheaper than an attempt, which waits for every other transaction.
      do await sleep(LOOK_MS);
      while (this.#now() < deadline && (await this.#isTaken(caller, asked.name)));
    }
  }

  async #isTaken({ project, signal }: Caller, name: string): Promise<boolean> {
    const open = await this.#database.query(signal, (db) => openIntent(db, { project, name }));
    return open !== undefined && open.expires_at > this.#now();
  }

  /** Undefined while it is not this mutation's turn. */
  #attempt(
    caller: Caller,
    { name, expectedRevision, promotes }: SourceAsked,
  ): Promise<SourceEdit | undefined> {
    const { project, actor, origin = null, signal } = caller;
    const prompt = { project, name };
    return this.#database.transaction(signal, async (db) => {
      await requireProject(db, project);
      const now = this.#now();
      const open = await openIntent(db, prompt);
      if (open !== undefined && open.expires_at > now) return undefined;
      if (open !== undefined) await recoverIntent(db, open, now);
      const revision = (await revisionsOf(db, project, [name])).get(name) ?? 0;
      requireRevision(name, revision, expectedRevision);
      if (promotes !== undefined) await requireOngoing(db, prompt, promotes);
      const id = v7();
      const row = { ...prompt, id, actor, origin, expires_at: now + EXPIRY_MS };
      await db.insertInto("source_intents").values(row).execute();
      return {
        revision,
        signal: AbortSignal.timeout(SENDING_MS),
        heedPolicies: (labels) => this.#heedPolicies(caller, prompt, labels),
        finish: (changes, sighting) =>
          this.#finish(caller, prompt, id, { changes, sighting, revision }),
      };
    });
  }

  #heedPolicies({ scopes }: Caller, prompt: PromptKey, labels: readonly string[]) {
    const moves = labels.map((label) => ({ label }));
    return this.#database.query(undefined, (db) =>
      heedLabelPolicies({ db, prompt, scopes }, moves),
    );
  }

  #finish(
    { actor, origin }: Caller,
    prompt: PromptKey,
    id: string,
    done: {
      changes: readonly SourceChange[];
      sighting: Sighting | undefined;
      revision: number;
    },
  ): Promise<SourceEdited> {
    return this.#database.transaction(undefined, async (db) => {
      await db.deleteFrom("source_intents").where("id", "=", id).execute();
      const createdAt = this.#now();
      let { revision } = done;
      const abortedRollouts: string[] = [];
      for (const { unmoved = [], rollouts: fate, ...change } of done.changes) {
        const named = [...change.labels.map(({ label }) => label), ...unmoved];
        const rollouts = await endingRollouts(db, prompt, named, fate);
        if (change.kind === "rollout_set" && rollouts.length === 0) continue;
        abortedRollouts.push(...abortedLabels(rollouts));
        const who = { actor, origin, createdAt };
        revision = await appendChange(db, prompt, { ...change, ...who, rollouts });
      }
      if (done.sighting !== undefined) await keepSighting(db, prompt.project, done.sighting);
      return { revision, abortedRollouts };
    });
  }
}

function openIntent(db: Connection, { project, name }: PromptKey) {
  return db
    .selectFrom("source_intents")
    .selectAll()
    .where("project", "=", project)
    .where("name", "=", name)
    .executeTakeFirst();
}

/** What was begun and never ended: nobody knows what became of it. */
export async function recoverIntent(
  db: Connection,
  intent: PromptKey & { id: string; actor: string; origin: string | null },
  now: number,
): Promise<void> {
  const { project, name, id, actor, origin } = intent;
  await db.deleteFrom("source_intents").where("id", "=", id).execute();
  await appendChange(
    db,
    { project, name },
    {
      kind: "source_changed",
      actor,
      origin: origin ?? undefined,
      reason: "a change was begun, and nobody knows whether it was made",
      createdAt: now,
      versions: [],
      labels: [],
    },
  );
}

/** Keeps what was seen of a prompt, under the database's revision. */
export async function keepSighting(
  db: Connection,
  project: string,
  { name, fingerprint, updatedAt }: Sighting,
): Promise<void> {
  if (fingerprint === undefined) {
    await db
      .deleteFrom("source_prompts")
      .where("project", "=", project)
      .where("name", "=", name)
      .execute();
    return;
  }
  const { revision } = await db.selectFrom("database").select("revision").executeTakeFirstOrThrow();
  const row = { project, name, fingerprint, updated_at: updatedAt, revision };
  await db
    .insertInto("source_prompts")
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(["project", "name"]).doUpdateSet({
        fingerprint,
        updated_at: updatedAt,
        revision,
      }),
    )
    .execute();
}

async function revisionsOf(
  db: Connection,
  project: string,
  names: readonly string[],
): Promise<Map<string, number>> {
  if (names.length === 0) return new Map();
  const changes = db
    .selectFrom("changes")
    .where("project", "=", project)
    .where("kind", "in", PROMPT_CHANGE_KINDS);
  const [only] = names;
  if (names.length === 1 && only !== undefined) {
    const query = changes.select("revision").where("name", "=", only);
    const row = await query.orderBy("revision", "desc").limit(1).executeTakeFirst();
    return new Map(row && [[only, row.revision]]);
  }
  const rows = await changes
    .select(["name", (select) => select.fn.max("revision").as("revision")])
    .where("name", "in", names)
    .groupBy("name")
    .execute();
  return new Map(rows.map(({ name, revision }) => [name, revision]));
}
