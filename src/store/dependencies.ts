import { compositionTags } from "../core/composition.ts";
import { type Inclusion, PromptdError } from "../core/errors.ts";
import { allowsPrompt } from "../core/keys.ts";
import { listed } from "../core/not-found.ts";
import type { PromptBody } from "../core/prompt.ts";
import type { Connection } from "./database.ts";
import type { Mutation } from "./mutation.ts";
import type { PromptKey } from "./prompt-key.ts";

/** Keeps what a new version includes, which is bounded (`LIMITS.compositionTags`). */
export async function recordDependencies(
  db: Connection,
  { project, name }: PromptKey,
  version: number,
  body: PromptBody,
): Promise<void> {
  const tags = new Map(compositionTags(body).map((tag) => [tag.raw, tag]));
  if (tags.size === 0) return;
  const rows = [...tags.values()].map(({ name: child, selector }, position) => ({
    project,
    name,
    version,
    position,
    child_name: child,
    child_label: "label" in selector ? selector.label : null,
    child_version: "version" in selector ? selector.version : null,
  }));
  await db.insertInto("dependencies").values(rows).execute();
}

/** Which existing versions include a prompt. */
export async function inclusionsOf(
  db: Connection,
  { project, name }: PromptKey,
): Promise<Inclusion[]> {
  return db
    .selectFrom("dependencies")
    .select(["name", "version", "child_label as childLabel", "child_version as childVersion"])
    .where("project", "=", project)
    .where("child_name", "=", name)
    .orderBy("name")
    .orderBy("version")
    .orderBy("position")
    .execute();
}

/** @throws refused where another prompt includes one of the labels or versions that were removed */
export async function requireNotIncluded(
  { db, prompt, promptPatterns }: Mutation,
  removed: { labels: readonly string[]; versions?: readonly number[] },
): Promise<void> {
  const labels = new Set(removed.labels);
  const versions = new Set(removed.versions);
  if (labels.size + versions.size === 0) return;
  const broken = (await inclusionsOf(db, prompt)).filter(
    ({ childLabel, childVersion }) =>
      (childLabel !== null && labels.has(childLabel)) ||
      (childVersion !== null && versions.has(childVersion)),
  );
  if (broken.length === 0) return;
  const seen = broken.filter(({ name }) => allowsPrompt(promptPatterns, name));
  const parents = seen.map((parent) => {
    const how =
      parent.childLabel === null ? `v${parent.childVersion}` : `label ${parent.childLabel}`;
    return `${parent.name} v${parent.version} (${how})`;
  });
  const others = broken.length - seen.length;
  const unseen = others > 0 ? `${others} that this key may not see` : "";
  const by = [listed(parents), unseen].filter((text) => text !== "").join(" and ");
  const message = `prompt "${prompt.name}" is included by ${by}; change or delete that first`;
  throw new PromptdError("refused", message, { refusal: { rule: "included", by: seen } });
}
