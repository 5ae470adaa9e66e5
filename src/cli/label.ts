import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { PendingChange } from "../../gen/promptd/v1/policy_service_pb.ts";
import type { LabelMove } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type SetLabelsResponse,
  SetLabelsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { type Service, withService } from "../client/service.ts";
import { Behind } from "./exit.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { messageJson, movesText, moveText } from "./output.ts";
import { abortedText } from "./rollout-changes.ts";
import type { Terminal } from "./terminal.ts";

/** A label and where it shall point; 0 removes it. */
export type Move = Pick<LabelMove, "label" | "version">;

interface LabelOptions extends ServiceOptions {
  reason?: string;
  expectedRevision?: number;
  /** Milliseconds. */
  wait?: number;
  keepRollout?: boolean;
}

/** `promptd label set` */
export async function setLabels(
  terminal: Terminal,
  name: string,
  moves: [label: string, version: number][],
  options: LabelOptions,
): Promise<void> {
  const asked = moves.map(([label, version]) => ({ label, version }));
  await withService(connectionOf(options, terminal), (service) =>
    moveLabels(terminal, service, name, asked, options),
  );
}

/** `promptd label remove` */
export async function removeLabels(
  terminal: Terminal,
  name: string,
  labels: string[],
  options: LabelOptions,
): Promise<void> {
  const moves = labels.map((label): [string, number] => [label, 0]);
  await setLabels(terminal, name, moves, options);
}

/**
 * Moves labels in one step and prints what moved, or what waits for approval.
 *
 * @throws Behind where not all replicas are known to answer with that in the time to wait
 */
export async function moveLabels(
  terminal: Terminal,
  { prompts }: Service,
  name: string,
  moves: Move[],
  options: Omit<LabelOptions, "address">,
): Promise<void> {
  const { reason = "", expectedRevision, wait, keepRollout = false, timeout, json } = options;
  const request = {
    name,
    moves,
    reason,
    keepRollout,
    ...(expectedRevision !== undefined && { expectedRevision: BigInt(expectedRevision) }),
    ...(wait !== undefined && { waitForReplicas: durationFromMs(wait) }),
  };
  const response = await prompts.setLabels(request, { timeoutMs: timeout + (wait ?? 0) });
  terminal.out(
    json ? messageJson(SetLabelsResponseSchema, response) : movedText(name, moves, response),
  );
  if (wait === undefined || response.pending !== undefined) return;
  const { replicas } = response;
  if (replicas === undefined) throw new Behind("nobody can tell now which replicas there are");
  const reached = `${replicas.applied} of ${replicas.live} replicas`;
  if (replicas.applied < replicas.live) throw new Behind(`applied by only ${reached} in time`);
  if (!json) terminal.out(`applied by ${reached}\n`);
}

function movedText(
  name: string,
  moves: Move[],
  { revision, previous, abortedRollouts, pending }: SetLabelsResponse,
): string {
  if (pending !== undefined) return `${pendingText(pending)}${name} is at revision ${revision}\n`;
  const before = new Map(previous.map(({ label, version }) => [label, version]));
  const lines = moves.map(({ label, version }) => {
    const from = before.get(label) ?? 0;
    if (from !== version) return moveText(label, from, version);
    return version === 0 ? `${label} is not set` : `${label} is there already`;
  });
  const moved = lines.map((line) => `${line}\n`).join("");
  return `${moved}${abortedText(abortedRollouts)}${name} is at revision ${revision}\n`;
}

function pendingText({ id, moves }: PendingChange): string {
  return [
    `not moved yet, waits for approval: ${movesText(moves)}\n`,
    `to approve it with another key: promptd approve ${id}\n`,
  ].join("");
}
