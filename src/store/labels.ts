import { PromptdError } from "../core/errors.ts";
import { LATEST_LABEL, type LabelChange, type LabelMove } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** `latest` aside. */
export const MAX_LABELS = 10_000;

/** That of `latest`; all others are put before what stands. */
const LAST_PLACE = 1;

/** Where each label stands and shall go, in the order asked; `latest` is left out. */
export async function plannedMoves(
  db: Connection,
  prompt: PromptKey,
  moves: readonly LabelMove[],
): Promise<LabelChange[]> {
  const movable = moves.filter(({ label }) => label !== LATEST_LABEL);
  if (movable.length === 0) return [];
  const before = await labelVersions(
    db,
    prompt,
    movable.map(({ label }) => label),
  );
  return movable.map(({ label, version }) => ({
    label,
    from: before.get(label) ?? 0,
    to: version,
  }));
}

/**
 * Puts labels on versions that exist, and removes those that shall be at 0.
 *
 * @throws refused past MAX_LABELS
 */
export async function moveLabels(
  db: Connection,
  prompt: PromptKey,
  changes: readonly LabelChange[],
): Promise<void> {
  await applyMoves(db, prompt, changes);
  if (changes.some(({ from, to }) => from === 0 && to !== 0)) await requireRoom(db, prompt);
}

/** Puts `latest`, which nobody else moves, on a version. */
export async function setLatest(db: Connection, prompt: PromptKey, version: number): Promise<void> {
  await putLabels(db, prompt, [{ label: LATEST_LABEL, version, place: LAST_PLACE }]);
}

async function labelVersions(
  db: Connection,
  { project, name }: PromptKey,
  labels: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("labels")
    .select(["label", "version"])
    .where("project", "=", project)
    .where("name", "=", name)
    .where("label", "in", labels)
    .execute();
  return new Map(rows.map((row) => [row.label, row.version]));
}

async function applyMoves(
  db: Connection,
  { project, name }: PromptKey,
  changes: readonly LabelChange[],
): Promise<void> {
  const removed = changes.filter(({ to }) => to === 0).map(({ label }) => label);
  const put = changes.filter(({ to }) => to !== 0);
  if (removed.length > 0) {
    await db
      .deleteFrom("labels")
      .where("project", "=", project)
      .where("name", "=", name)
      .where("label", "in", removed)
      .execute();
  }
  if (put.length > 0) {
    const first = (await firstPlace(db, { project, name })) - put.length;
    const rows = put.map(({ label, to }, index) => ({ label, version: to, place: first + index }));
    await putLabels(db, { project, name }, rows);
  }
}

async function putLabels(
  db: Connection,
  prompt: PromptKey,
  labels: readonly { label: string; version: number; place: number }[],
): Promise<void> {
  await db
    .insertInto("labels")
    .values(labels.map((label) => ({ ...prompt, ...label })))
    .onConflict((conflict) =>
      conflict.columns(["project", "name", "label"]).doUpdateSet((update) => ({
        version: update.ref("excluded.version"),
        place: update.ref("excluded.place"),
      })),
    )
    .execute();
}

async function firstPlace(db: Connection, { project, name }: PromptKey): Promise<number> {
  const { place } = await db
    .selectFrom("labels")
    .select((select) => select.fn.min("place").as("place"))
    .where("project", "=", project)
    .where("name", "=", name)
    .executeTakeFirstOrThrow();
  // None has a higher place than `latest`; of a database before places all are 0.
  return Math.min(place ?? 0, 0);
}

async function requireRoom(db: Connection, { project, name }: PromptKey): Promise<void> {
  const { count } = await db
    .selectFrom("labels")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("project", "=", project)
    .where("name", "=", name)
    .where("label", "!=", LATEST_LABEL)
    .executeTakeFirstOrThrow();
  if (count > MAX_LABELS) {
    throw new PromptdError(
      "refused",
      `prompt "${name}" would have ${count} labels; at most ${MAX_LABELS} are kept, so remove some`,
    );
  }
}
