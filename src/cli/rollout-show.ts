import { create } from "@bufbuild/protobuf";
import type { Rollout_State as State } from "../../gen/promptd/v1/rollout_pb.ts";
import {
  GetRolloutResponseSchema,
  ListRolloutsResponseSchema,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { withService } from "../client/service.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { listJson, messageJson, table, timeText } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import { armsText } from "./rollout-changes.ts";
import { type RolloutOptions, stateText } from "./rollout-options.ts";
import { rolloutText } from "./rollout-text.ts";
import type { Terminal } from "./terminal.ts";

interface ListOptions extends ServiceOptions {
  name?: string;
  state?: State[];
}

/** `promptd rollout show` */
export async function showRollout(
  terminal: Terminal,
  name: string,
  options: RolloutOptions,
): Promise<void> {
  const { label } = options;
  const response = await withService(connectionOf(options, terminal), ({ rollouts }) =>
    rollouts.getRollout({ name, label }),
  );
  const { rollout } = response;
  if (options.json) terminal.out(messageJson(GetRolloutResponseSchema, response));
  else if (rollout !== undefined) terminal.out(rolloutText(rollout));
}

/** `promptd rollout list` */
export async function listRollouts(terminal: Terminal, options: ListOptions): Promise<void> {
  const { name = "", state: states = [] } = options;
  const all = await withService(connectionOf(options, terminal), ({ rollouts }) =>
    allItems(
      eachItem(async (page) => {
        const response = await rollouts.listRollouts({ ...page, name, states });
        return { items: response.rollouts, nextPageToken: response.nextPageToken };
      }),
    ),
  );
  if (options.json) {
    const response = create(ListRolloutsResponseSchema, { rollouts: all });
    terminal.out(listJson(ListRolloutsResponseSchema, response));
    return;
  }
  const rows = all.map((rollout) => [
    rollout.name,
    rollout.label,
    stateText(rollout.state),
    armsText(rollout.arms),
    String(rollout.revision),
    timeText(rollout.updateTime),
    rollout.actor,
    rollout.reason,
  ]);
  const heads = ["NAME", "LABEL", "STATE", "ARMS", "REVISION", "TIME", "ACTOR", "REASON"];
  terminal.out(table(heads, rows));
}
