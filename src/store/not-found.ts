import { PromptdError } from "../core/errors.ts";
import { LATEST_LABEL, type Selector } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** How many names a message lists before it counts the rest. */
const LISTED = 10;

export function promptNotFound({ name }: PromptKey): PromptdError {
  return new PromptdError("not_found", `prompt "${name}" does not exist`);
}

/** Says what the selector does not find, and what there is instead. */
export async function notFound(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<PromptdError> {
  const missing =
    "version" in selector ? `version ${selector.version}` : `label "${selector.label}"`;
  const existing =
    "version" in selector ? await existingVersions(db, prompt) : await existingLabels(db, prompt);
  if (existing === undefined) return promptNotFound(prompt);
  const message = `prompt "${prompt.name}" has no ${missing}; it has ${existing}`;
  return new PromptdError("not_found", message);
}

/** The first names of several, and how many more there are. */
export function listed(names: readonly string[], total = names.length): string {
  const first = names.slice(0, LISTED);
  const rest = total - first.length;
  return rest > 0 ? `${first.join(", ")} and ${rest} more` : first.join(", ");
}

async function existingVersions(db: Connection, prompt: PromptKey): Promise<string | undefined> {
  const versions = db
    .selectFrom("versions")
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name);
  const { count, first, last } = await versions
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      select.fn.min("number").as("first"),
      select.fn.max("number").as("last"),
    ])
    .executeTakeFirstOrThrow();
  if (count === 0) return undefined;
  if (count === 1) return `version ${first}`;
  if (count === last - first + 1) return `versions ${first} to ${last}`;
  const rows = await versions.select("number").orderBy("number").limit(LISTED).execute();
  const numbers = rows.map((row) => String(row.number));
  return `versions ${listed(numbers, count)}`;
}

async function existingLabels(db: Connection, prompt: PromptKey): Promise<string | undefined> {
  const labels = db
    .selectFrom("labels")
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name);
  const { count } = await labels
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  if (count === 0) return undefined;
  const rows = await labels.select("label").orderBy("label").limit(LISTED).execute();
  const names = rows.map((row) => row.label);
  return names.length === 1 && names[0] === LATEST_LABEL
    ? `${LATEST_LABEL} only`
    : listed(names, count);
}
