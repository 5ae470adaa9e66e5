import {
  type Change,
  Change_Kind,
  type LabelChange,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { type Service, withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import { eachChange } from "./changes.ts";
import { type Move, moveLabels } from "./label.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { moveText, timeText } from "./output.ts";
import type { Terminal } from "./terminal.ts";

interface UndoOptions extends ServiceOptions {
  revision?: number;
  reason?: string;
  /** Milliseconds. */
  wait?: number;
}

/**
 * `promptd label undo`: puts the labels back that one change moved.
 *
 * The prompt's history alone tells where its labels stand, and the revision
 * that it ends with is expected when they are moved: nobody's change in between
 * is overrun.
 */
export async function undo(terminal: Terminal, name: string, options: UndoOptions): Promise<void> {
  await withService(connectionOf(options, terminal), async (service) => {
    const { change, since } = await findChange(service, name, options.revision);
    const moves = undoingMoves(change, since);
    const newest = since[0] ?? change;
    await moveLabels(terminal, service, name, moves, {
      ...options,
      reason: options.reason ?? `undo of revision ${change.revision}`,
      expectedRevision: Number(newest.revision),
    });
  });
}

/** Changes of keys, projects and policies, whose ids and labels a prompt may have as its name. */
const NOT_OF_PROMPTS: ReadonlySet<Change_Kind> = new Set([
  Change_Kind.KEY_CREATED,
  Change_Kind.KEY_REVOKED,
  Change_Kind.KEY_ROTATED,
  Change_Kind.PROJECT_CREATED,
  Change_Kind.LABEL_POLICY_SET,
]);

/** The change to undo, and the prompt's changes since, newest first. */
async function findChange(
  service: Service,
  name: string,
  revision: number | undefined,
): Promise<{ change: Change; since: Change[] }> {
  const after = revision === undefined ? 0 : Math.max(revision - 1, 0);
  const since: Change[] = [];
  for await (const change of eachChange(service, { name, afterRevision: BigInt(after) })) {
    if (NOT_OF_PROMPTS.has(change.kind)) continue;
    const isIt =
      revision === undefined ? change.labels.length > 0 : change.revision === BigInt(revision);
    if (!isIt) {
      since.push(change);
    } else if (change.labels.length === 0) {
      throw new PromptdError("refused", `revision ${revision} of ${name} moved no label`);
    } else {
      return { change, since };
    }
  }
  const what = revision === undefined ? "no change that moved labels" : `no revision ${revision}`;
  throw new PromptdError("not_found", `${name} has ${what}; see \`promptd changes ${name}\``);
}

/**
 * The moves that put a change's labels back.
 *
 * @param since the prompt's later changes, newest first
 * @throws conflict where a label stands elsewhere by now, or may, refused where
 *   a version that a label came from is gone
 */
function undoingMoves(change: Change, since: readonly Change[]): Move[] {
  const elsewhere = since.find(({ kind }) => kind === Change_Kind.SOURCE_CHANGED);
  if (elsewhere !== undefined) {
    throw new PromptdError(
      "conflict",
      `revision ${change.revision} cannot be undone, since the prompt was changed in its source at revision ${elsewhere.revision}: look where its labels stand, and move them by \`promptd label\``,
    );
  }
  const moved = change.labels.flatMap((label) => movedSince(label, since) ?? []);
  if (moved.length > 0) {
    throw new PromptdError(
      "conflict",
      `revision ${change.revision} cannot be undone, since its labels have moved: ${moved.join("; ")}`,
    );
  }
  const gone = change.labels.flatMap((label) => versionGone(label, [...since, change]) ?? []);
  if (gone.length > 0) {
    throw new PromptdError(
      "refused",
      `revision ${change.revision} cannot be undone: ${gone.join("; ")}`,
    );
  }
  return change.labels.map(({ label, fromVersion }) => ({ label, version: fromVersion }));
}

/** How a label came to stand elsewhere; undefined where it stands as the change left it. */
function movedSince(
  { label, toVersion }: LabelChange,
  since: readonly Change[],
): string | undefined {
  for (const change of since) {
    const move = change.labels.find((moved) => moved.label === label);
    if (move === undefined) continue;
    if (move.toVersion === toVersion) return undefined;
    const how = moveText(label, move.fromVersion, move.toVersion);
    return `${how} in revision ${change.revision} by ${change.actor} at ${timeText(change.createTime)}`;
  }
  return undefined;
}

/** Which version is missing that a label would go back to. */
function versionGone(
  { label, fromVersion }: LabelChange,
  later: readonly Change[],
): string | undefined {
  const deletion = later.find(
    ({ kind, versions }) => kind === Change_Kind.VERSIONS_DELETED && versions.includes(fromVersion),
  );
  return (
    deletion && `${label} was at version ${fromVersion}, deleted in revision ${deletion.revision}`
  );
}
