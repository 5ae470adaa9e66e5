import type { PromptdError } from "../core/errors.ts";
import {
  LISTED,
  labelsText,
  promptNotFound,
  selectionNotFound,
  versionsText,
} from "../core/not-found.ts";
import type { Selector } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { PromptKey } from "./prompt-key.ts";

/** Says what the selector does not find, and what there is instead. */
export async function notFound(
  db: Connection,
  prompt: PromptKey,
  selector: Selector,
): Promise<PromptdError> {
  const existing =
    "version" in selector ? await existingVersions(db, prompt) : await existingLabels(db, prompt);
  if (existing === undefined) return promptNotFound(prompt);
  return selectionNotFound(prompt, selector, existing);
}

async function existingVersions(db: Connection, prompt: PromptKey): Promise<string | undefined> {
  const versions = db
    .selectFrom("versions")
    .where("project", "=", prompt.project)
    .where("name", "=", prompt.name);
  const { count, last } = await versions
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      select.fn.max("number").as("last"),
    ])
    .executeTakeFirstOrThrow();
  if (count === 0) return undefined;
  const rows = await versions.select("number").orderBy("number").limit(LISTED).execute();
  const numbers = rows.map((row) => row.number);
  return versionsText(numbers, count, last);
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
  return labelsText(names, count);
}
