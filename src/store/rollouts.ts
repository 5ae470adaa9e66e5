import { PromptdError } from "../core/errors.ts";
import type { Caller, Page } from "../core/ports.ts";
import { requireRolloutRevision, rolloutNotFound } from "../core/rollout/intent.ts";
import type { ProjectRollout, RolloutKey, RolloutStore } from "../core/rollout/ports.ts";
import {
  hasEnded,
  type Rollout,
  type RolloutState,
  type StandingRollout,
} from "../core/rollout/rollout.ts";
import { rolloutToJson } from "../core/rollout/stored.ts";
import type { Connection, Database } from "./database.ts";
import { heedLabelPolicies } from "./label-policies.ts";
import { type Mutation, recordChange } from "./mutation.ts";
import { fitsOneOf } from "./names.ts";
import {
  findRolloutRow,
  ONGOING,
  type RolloutRow,
  readableRollout,
  toRollout,
} from "./rollout-rows.ts";
import { requireProject } from "./standing.ts";

/** Of one project. */
const MAX_ONGOING = 1000;

/** Rows of one page at most: one with many overrides takes some hundred KiB. */
const MOST_AT_ONCE = 50;

type RolloutMutation = Pick<Mutation, "db" | "prompt" | "actor" | "origin" | "scopes" | "now">;

/** Rollouts in promptd's own database. */
export class StoredRollouts implements RolloutStore {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #onUnreadable: (rollout: RolloutKey & { project: string }) => void;

  /**
   * @param now milliseconds since 1970
   * @param onUnreadable told of rows that are passed over, which others must not suffer for
   */
  constructor(
    database: Database,
    now: () => number = Date.now,
    onUnreadable: (rollout: RolloutKey & { project: string }) => void = () => {},
  ) {
    this.#database = database;
    this.#now = now;
    this.#onUnreadable = onUnreadable;
  }

  async ongoingRollouts(prompt?: { project: string; name: string }): Promise<ProjectRollout[]> {
    const rows = await this.#database.query(undefined, (db) => {
      const ongoing = db.selectFrom("rollouts").selectAll().where("state", "in", ONGOING);
      if (prompt === undefined) return ongoing.execute();
      const { project, name } = prompt;
      return ongoing.where("project", "=", project).where("name", "=", name).execute();
    });
    return rows.flatMap((row) => {
      const rollout = this.#readable(row);
      return rollout === undefined ? [] : { project: row.project, rollout };
    });
  }

  async findRollout(
    { project, signal }: Caller,
    { name, label }: RolloutKey,
  ): Promise<StandingRollout | undefined> {
    const row = await this.#database.query(signal, (db) =>
      findRolloutRow(db, { project, name }, label),
    );
    return row && toRollout(row);
  }

  async listRollouts(
    { project, promptPatterns = [], signal }: Caller,
    { name, states = [] }: { name?: string; states?: readonly RolloutState[] },
    page: { size: number; after?: RolloutKey },
  ): Promise<Page<StandingRollout, RolloutKey>> {
    const size = Math.min(page.size, MOST_AT_ONCE);
    const { after } = page;
    const rows = await this.#database.query(signal, (db) => {
      let query = db
        .selectFrom("rollouts")
        .selectAll()
        .where("project", "=", project)
        .orderBy("name")
        .orderBy("label")
        .limit(size + 1);
      if (name !== undefined) query = query.where("name", "=", name);
      if (states.length > 0) query = query.where("state", "in", states);
      if (promptPatterns.length > 0) query = query.where(fitsOneOf("name", promptPatterns));
      if (after !== undefined) {
        query = query.where(({ eb, refTuple, tuple }) =>
          eb(refTuple("name", "label"), ">", tuple(after.name, after.label)),
        );
      }
      return query.execute();
    });
    const shown = rows.slice(0, size);
    const items = shown.flatMap((row) => {
      const rollout = this.#readable(row);
      return rollout === undefined ? [] : { ...rollout, overrides: new Map() };
    });
    const last = shown.at(-1);
    if (rows.length <= size || last === undefined) return { items };
    return { items, next: { name: last.name, label: last.label } };
  }

  putRollout(
    caller: Caller,
    { rollout, ...edit }: { rollout: Rollout; expectedRevision: number; reason: string },
  ): Promise<StandingRollout> {
    return this.#mutate(caller, rollout.name, (mutation) => put(mutation, rollout, edit));
  }

  deleteRollout(
    caller: Caller,
    { name, ...edit }: RolloutKey & { expectedRevision?: number; reason: string },
  ): Promise<number> {
    return this.#mutate(caller, name, (mutation) => remove(mutation, edit));
  }

  #readable(row: RolloutRow): StandingRollout | undefined {
    const rollout = readableRollout(row);
    const { project, name, label } = row;
    if (rollout === undefined) this.#onUnreadable({ project, name, label });
    return rollout;
  }

  #mutate<Result>(
    { project, actor, origin, scopes, signal }: Caller,
    name: string,
    work: (mutation: RolloutMutation) => Promise<Result>,
  ): Promise<Result> {
    return this.#database.transaction(signal, async (db) => {
      await requireProject(db, project);
      return work({ db, prompt: { project, name }, actor, origin, scopes, now: this.#now() });
    });
  }
}

async function put(
  mutation: RolloutMutation,
  current: Rollout,
  { expectedRevision, reason }: { expectedRevision: number; reason: string },
): Promise<StandingRollout> {
  const { db, prompt, actor, now } = mutation;
  const { label } = current;
  const row = await findRolloutRow(db, prompt, label);
  requireRolloutRevision(current, row?.revision ?? 0, expectedRevision);
  const previous = row && readableRollout(row);
  if (previous !== undefined && rolloutToJson(previous) === rolloutToJson(current)) return previous;
  const approval = await heedLabelPolicies(mutation, [{ label }]);
  if (approval.length > 0 && current.state !== "aborted") {
    const message = `label "${label}" needs the approval of a second key, and a rollout cannot wait for that: move the label by SetLabels`;
    throw new PromptdError("refused", message);
  }
  const begins = !hasEnded(current) && (row === undefined || hasEnded(row));
  if (begins) await requireRoom(db, prompt.project);
  const rollouts = [{ label, ...(previous && { previous }), current }];
  const revision = await recordChange(mutation, "rollout_set", reason, {
    versions: [],
    labels: [],
    rollouts,
  });
  return { ...current, revision, actor, reason, changedAt: new Date(now) };
}

async function remove(
  mutation: RolloutMutation,
  edit: { label: string; expectedRevision?: number; reason: string },
): Promise<number> {
  const { db, prompt } = mutation;
  const { label, expectedRevision, reason } = edit;
  const row = await findRolloutRow(db, prompt, label);
  const key = { name: prompt.name, label };
  if (row === undefined) throw rolloutNotFound(key);
  requireRolloutRevision(key, row.revision, expectedRevision);
  const previous = readableRollout(row);
  // One that cannot be read splits nobody.
  if (previous !== undefined && !hasEnded(previous)) {
    const message = `the rollout of label "${label}" of prompt "${prompt.name}" is ${row.state}: abort or promote it first`;
    throw new PromptdError("refused", message);
  }
  await heedLabelPolicies(mutation, [{ label }]);
  const rollouts = [{ label, ...(previous && { previous }) }];
  const detail = { versions: [], labels: [], rollouts };
  return recordChange(mutation, "rollout_deleted", reason, detail);
}

/** @throws refused past MAX_ONGOING */
async function requireRoom(db: Connection, project: string): Promise<void> {
  const { count } = await db
    .selectFrom("rollouts")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("project", "=", project)
    .where("state", "in", ONGOING)
    .executeTakeFirstOrThrow();
  if (count < MAX_ONGOING) return;
  const message = `project "${project}" has ${count} rollouts that run or are paused, the most there can be; promote or abort some`;
  throw new PromptdError("refused", message);
}
