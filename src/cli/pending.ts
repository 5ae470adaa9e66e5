import { create } from "@bufbuild/protobuf";
import {
  ApprovePendingChangeResponseSchema,
  ListPendingChangesResponseSchema,
  type PendingChange,
  RejectPendingChangeResponseSchema,
} from "../../gen/promptd/v1/policy_service_pb.ts";
import { withService } from "../client/service.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { listJson, messageJson, movesText, table, timeText } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import type { Terminal } from "./terminal.ts";

interface DecisionOptions extends ServiceOptions {
  reason: string;
}

/** `promptd pending` */
export async function pending(
  terminal: Terminal,
  name: string | undefined,
  options: ServiceOptions,
): Promise<void> {
  const all = await withService(connectionOf(options, terminal), ({ policies }) =>
    allItems(
      eachItem(async (page) => {
        const response = await policies.listPendingChanges({ ...page, name: name ?? "" });
        return { items: response.pending, nextPageToken: response.nextPageToken };
      }),
    ),
  );
  if (options.json) {
    const response = create(ListPendingChangesResponseSchema, { pending: all });
    terminal.out(listJson(ListPendingChangesResponseSchema, response));
    return;
  }
  const rows = all.map((change) => [
    change.id,
    timeText(change.createTime),
    change.name,
    movesText(change.moves),
    change.author,
    change.reason,
  ]);
  terminal.out(table(["ID", "TIME", "PROMPT", "MOVES", "AUTHOR", "REASON"], rows));
}

/** `promptd approve` */
export async function approve(
  terminal: Terminal,
  id: string,
  options: DecisionOptions,
): Promise<void> {
  const { reason } = options;
  const response = await withService(connectionOf(options, terminal), ({ policies }) =>
    policies.approvePendingChange({ id, reason }),
  );
  terminal.out(
    options.json
      ? messageJson(ApprovePendingChangeResponseSchema, response)
      : decidedText("approved", response.approved, response.revision),
  );
}

/** `promptd reject` */
export async function reject(
  terminal: Terminal,
  id: string,
  options: DecisionOptions,
): Promise<void> {
  const { reason } = options;
  const response = await withService(connectionOf(options, terminal), ({ policies }) =>
    policies.rejectPendingChange({ id, reason }),
  );
  terminal.out(
    options.json
      ? messageJson(RejectPendingChangeResponseSchema, response)
      : decidedText("rejected", response.rejected, response.revision),
  );
}

function decidedText(how: string, change: PendingChange | undefined, revision: bigint): string {
  const { name = "", moves = [] } = change ?? {};
  return `${how}: ${movesText(moves)}\n${name} is at revision ${revision}\n`;
}
