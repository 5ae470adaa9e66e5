import { Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import {
  PreviewRolloutResponseSchema,
  SetRolloutResponseSchema,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { type Service, withService } from "../client/service.ts";
import { PromptdError } from "../core/errors.ts";
import { inFile } from "../files/read.ts";
import { decodeUtf8, withoutByteOrderMark } from "../files/text.ts";
import { WrongUsage } from "./exit.ts";
import { readInput } from "./input.ts";
import { connectionOf } from "./options.ts";
import { messageJson } from "./output.ts";
import { edited, isEdit } from "./rollout-edit.ts";
import type { EditOptions } from "./rollout-options.ts";
import { movedText, previewText, rolloutText } from "./rollout-text.ts";
import type { Terminal } from "./terminal.ts";

interface SetOptions extends EditOptions {
  dryRun?: boolean;
  reason?: string;
}

interface PreviewOptions extends EditOptions {
  user?: string[];
  usersFile?: string;
}

/** `promptd rollout set` */
export async function setRollout(
  terminal: Terminal,
  name: string,
  options: SetOptions,
): Promise<void> {
  if (options.dryRun) {
    await previewRollout(terminal, name, options);
    return;
  }
  if (!isEdit(options)) {
    const problem = "nothing is named that changes; see `promptd rollout set --help`";
    throw new WrongUsage(new PromptdError("invalid", problem));
  }
  await withService(connectionOf(options, terminal), async (service) => {
    const { expectedRevision, ...asked } = await requestOf(service, name, options);
    const { rollouts } = service;
    const preview = options.json ? undefined : await rollouts.previewRollout(asked);
    const { reason = "" } = options;
    const response = await rollouts.setRollout({ ...asked, reason, expectedRevision });
    if (preview === undefined) {
      terminal.out(messageJson(SetRolloutResponseSchema, response));
    } else {
      const { rollout } = response;
      terminal.out(movedText(preview) + (rollout === undefined ? "" : rolloutText(rollout)));
    }
  });
}

/** `promptd rollout preview` */
export async function previewRollout(
  terminal: Terminal,
  name: string,
  options: PreviewOptions,
): Promise<void> {
  const { user = [], usersFile } = options;
  const listed = usersFile === undefined ? [] : await readUsers(usersFile, terminal);
  const userIds = [...user, ...listed];
  const response = await withService(connectionOf(options, terminal), async (service) => {
    const { expectedRevision: _, ...asked } = await requestOf(service, name, options);
    return service.rollouts.previewRollout({ ...asked, userIds });
  });
  terminal.out(
    options.json ? messageJson(PreviewRolloutResponseSchema, response) : previewText(response),
  );
}

/**
 * What is asked for. The revision that it was made from is expected, so that nobody's
 * change in between is overrun.
 *
 * @throws conflict where another revision was expected
 */
async function requestOf({ rollouts }: Service, name: string, options: EditOptions) {
  const { label, paused, expectedRevision } = options;
  const standing = await rollouts.getRollout({ name, label }).then(
    ({ rollout }) => rollout,
    (thrown: unknown) => {
      if (thrown instanceof PromptdError && thrown.code === "not_found") return undefined;
      throw thrown;
    },
  );
  const revision = standing?.revision ?? 0n;
  if (expectedRevision !== undefined && BigInt(expectedRevision) !== revision) {
    const problem = `the rollout of ${name} at ${label} is at revision ${revision}, not ${expectedRevision}`;
    throw new PromptdError("conflict", problem);
  }
  return {
    name,
    label,
    ...(paused && { state: State.PAUSED }),
    definition: edited(options, standing),
    expectedRevision: revision,
  };
}

/** One in a line; what stands in a line is the id, exactly. */
async function readUsers(file: string, terminal: Terminal): Promise<string[]> {
  const bytes = await readInput(file, terminal);
  try {
    return withoutByteOrderMark(decodeUtf8(bytes))
      .split(/\r?\n/)
      .filter((line) => line !== "");
  } catch (thrown) {
    throw inFile(file, (thrown as PromptdError).message, thrown);
  }
}
