import { Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import {
  DeleteRolloutResponseSchema,
  type PreviewRolloutResponse,
  type SetRolloutResponse,
  SetRolloutResponseSchema,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { withService } from "../client/service.ts";
import { CONTROL } from "../core/rollout/table.ts";
import { connectionOf } from "./options.ts";
import { messageJson, moveText } from "./output.ts";
import type { RolloutOptions } from "./rollout-options.ts";
import { rolloutText } from "./rollout-text.ts";
import type { Terminal } from "./terminal.ts";

interface StateOptions extends RolloutOptions {
  reason?: string;
  expectedRevision?: number;
}

/** `promptd rollout pause` */
export async function pauseRollout(
  terminal: Terminal,
  name: string,
  options: StateOptions,
): Promise<void> {
  await change(terminal, name, State.PAUSED, options);
}

/** `promptd rollout resume` */
export async function resumeRollout(
  terminal: Terminal,
  name: string,
  options: StateOptions,
): Promise<void> {
  await change(terminal, name, State.RUNNING, options);
}

/** `promptd rollout abort` */
export async function abortRollout(
  terminal: Terminal,
  name: string,
  options: StateOptions,
): Promise<void> {
  await change(terminal, name, State.ABORTED, options);
}

/** `promptd rollout promote`: to which version the label moves is told by a preview, whose revision is expected then. */
export async function promoteRollout(
  terminal: Terminal,
  name: string,
  arm: string | undefined,
  options: StateOptions,
): Promise<void> {
  const asked = {
    name,
    label: options.label,
    state: State.PROMOTED,
    promotedArm: arm ?? "",
  };
  await withService(connectionOf(options, terminal), async ({ rollouts }) => {
    const preview = await rollouts.previewRollout(asked);
    const { reason = "", expectedRevision = preview.revision } = options;
    const response = await rollouts.setRollout({
      ...asked,
      reason,
      expectedRevision: BigInt(expectedRevision),
    });
    terminal.out(
      options.json
        ? messageJson(SetRolloutResponseSchema, response)
        : promotedText(name, response, preview),
    );
  });
}

/** `promptd rollout delete` */
export async function deleteRollout(
  terminal: Terminal,
  name: string,
  options: StateOptions,
): Promise<void> {
  const response = await withService(connectionOf(options, terminal), ({ rollouts }) =>
    rollouts.deleteRollout({ name, ...changeOf(options) }),
  );
  const { label, json } = options;
  terminal.out(
    json
      ? messageJson(DeleteRolloutResponseSchema, response)
      : `rollout of ${name} at ${label} is deleted\n${name} is at revision ${response.revision}\n`,
  );
}

async function change(
  terminal: Terminal,
  name: string,
  state: State,
  options: StateOptions,
): Promise<void> {
  const response = await withService(connectionOf(options, terminal), ({ rollouts }) =>
    rollouts.setRollout({ name, state, ...changeOf(options) }),
  );
  const { rollout } = response;
  if (options.json) terminal.out(messageJson(SetRolloutResponseSchema, response));
  else if (rollout !== undefined) terminal.out(rolloutText(rollout));
}

function changeOf({ label, reason = "", expectedRevision }: StateOptions) {
  return {
    label,
    reason,
    ...(expectedRevision !== undefined && { expectedRevision: BigInt(expectedRevision) }),
  };
}

function promotedText(
  name: string,
  { rollout, previous }: SetRolloutResponse,
  { arms }: PreviewRolloutResponse,
): string {
  const { label = "", promotedArm = "", revision = 0n } = rollout ?? {};
  const to = arms.find((arm) => arm.name === CONTROL)?.versionAfter ?? 0;
  const from = previous[0]?.version ?? 0;
  const moved = from !== to;
  return [
    `promoted ${promotedArm}: ${moved ? moveText(label, from, to) : `${label} is at ${to} already`}\n`,
    moved ? `to undo it: promptd label undo ${name} --revision ${revision}\n` : "",
    `${name} is at revision ${revision}\n`,
  ].join("");
}
