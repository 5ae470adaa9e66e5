import { PromptdError } from "../core/errors.ts";
import { heedPolicies, type LabelPolicy, type LabelProtection } from "../core/policy.ts";
import type { Caller, Page } from "../core/ports.ts";
import { appendChange } from "./change-log.ts";
import type { Connection } from "./database.ts";
import type { Mutation } from "./mutation.ts";
import { requireProject } from "./standing.ts";

/** Of one project. */
const MAX_POLICIES = 1000;

/** Answers with the protection before. @throws not_found for the project, refused past MAX_POLICIES */
export async function setLabelPolicy(
  db: Connection,
  { project, actor, origin }: Caller,
  asked: { label: string; protection: LabelProtection; reason: string },
  now: number,
): Promise<LabelProtection> {
  await requireProject(db, project);
  const { label, protection: current, reason } = asked;
  const policies = await policiesOf(db, project);
  const previous: LabelProtection =
    policies.find((policy) => policy.label === label)?.protection ?? "none";
  if (previous === current) return previous;
  if (previous === "none" && policies.length >= MAX_POLICIES) {
    const message = `project "${project}" protects ${policies.length} labels, the most there can be`;
    throw new PromptdError("refused", message);
  }
  await db
    .deleteFrom("label_policies")
    .where("project", "=", project)
    .where("label", "=", label)
    .execute();
  if (current !== "none") {
    const approval = current === "approval" ? 1 : 0;
    await db.insertInto("label_policies").values({ project, label, approval }).execute();
  }
  const change = { kind: "label_policy_set" as const, actor, origin, reason, createdAt: now };
  const detail = { versions: [], labels: [], policy: { previous, current } };
  await appendChange(db, { project, name: label }, { ...change, ...detail });
  return previous;
}

/** Protected labels of a project in order. */
export async function listLabelPolicies(
  db: Connection,
  project: string,
  page: { size: number; after?: string },
): Promise<Page<LabelPolicy, string>> {
  const rows = await db
    .selectFrom("label_policies")
    .select(["label", "approval"])
    .where("project", "=", project)
    .where("label", ">", page.after ?? "")
    .orderBy("label")
    .limit(page.size + 1)
    .execute();
  const items = rows.slice(0, page.size).map(toPolicy);
  const last = items.at(-1);
  return rows.length > page.size && last !== undefined ? { items, next: last.label } : { items };
}

/**
 * Whether the mutation may move labels. In its transaction, so no policy
 * comes between the question and the move.
 *
 * @returns the labels among them that need approval first
 * @throws forbidden
 */
export async function heedLabelPolicies(
  { db, prompt, scopes }: Pick<Mutation, "db" | "prompt" | "scopes">,
  moves: readonly { label: string }[],
): Promise<string[]> {
  if (moves.length === 0) return [];
  const touched = new Set(moves.map(({ label }) => label));
  // All of them: there are few, and a deletion may touch more labels than a statement takes parameters.
  const policies = await policiesOf(db, prompt.project);
  return heedPolicies(
    policies.filter(({ label }) => touched.has(label)),
    scopes,
  );
}

/** @throws refused for a label that needs approval, with advice on what to do; forbidden */
export async function requireNoApproval(
  mutation: Mutation,
  moves: readonly { label: string }[],
  advice: string,
): Promise<void> {
  const [label] = await heedLabelPolicies(mutation, moves);
  if (label === undefined) return;
  throw new PromptdError("refused", `moving label "${label}" needs approval: ${advice}`);
}

async function policiesOf(db: Connection, project: string): Promise<LabelPolicy[]> {
  const { items } = await listLabelPolicies(db, project, { size: MAX_POLICIES });
  return items;
}

function toPolicy({ label, approval }: { label: string; approval: number }): LabelPolicy {
  return { label, protection: approval === 1 ? "approval" : "protected" };
}
