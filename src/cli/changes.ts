import { create } from "@bufbuild/protobuf";
import {
  type Change,
  Change_Kind,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { listJson, moveText, table, timeText } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import { type Service, withService } from "./service.ts";
import type { Terminal } from "./terminal.ts";

interface ChangesOptions extends ServiceOptions {
  after?: number;
  limit: number;
}

/** `promptd changes` */
export async function changes(
  terminal: Terminal,
  name: string | undefined,
  options: ChangesOptions,
): Promise<void> {
  const all = await withService(connectionOf(options, terminal), (service) =>
    allItems(eachChange(service, { name: name ?? "", after: options.after ?? 0 }, options.limit)),
  );
  if (options.json) {
    const response = create(ListChangesResponseSchema, { changes: all });
    terminal.out(listJson(ListChangesResponseSchema, response));
    return;
  }
  if (all.length === options.limit) {
    terminal.err(`only the newest ${options.limit} are shown; --limit shows more\n`);
  }
  const rows = all.map((change) => [
    String(change.revision),
    timeText(change.createTime),
    change.name,
    whatChanged(change),
    change.actor,
    change.reason,
  ]);
  terminal.out(table(["REVISION", "TIME", "PROMPT", "CHANGE", "ACTOR", "REASON"], rows));
}

/** Changes, newest first: of one prompt unless `name` is empty, with a revision above `after`. */
export function eachChange(
  service: Service,
  { name, after }: { name: string; after: number },
  limit?: number,
): AsyncGenerator<Change> {
  const fetch = async (page: { pageSize: number; pageToken: string }) => {
    const request = { ...page, name, afterRevision: BigInt(after) };
    const response = await service.changes.listChanges(request);
    return { items: response.changes, nextPageToken: response.nextPageToken };
  };
  return eachItem(fetch, limit);
}

function whatChanged({ kind, versions, labels, tags }: Change): string {
  const moves = labels.map((l) => moveText(l.label, l.fromVersion, l.toVersion)).join(", ");
  switch (kind) {
    case Change_Kind.VERSION_CREATED:
      return [`created ${versions.join(", ")}`, moves].filter(Boolean).join("; ");
    case Change_Kind.VERSIONS_DELETED:
      return [`deleted ${versions.join(", ")}`, moves].filter(Boolean).join("; ");
    case Change_Kind.LABELS_SET:
      return moves;
    case Change_Kind.TAGS_SET:
      return `tags ${tags?.current.join(" ") || "(none)"}`;
    case Change_Kind.KEY_CREATED:
      return "key created";
    case Change_Kind.KEY_REVOKED:
      return "key revoked";
    case Change_Kind.KEY_ROTATED:
      return "key rotated";
    default:
      return `change of kind ${kind}`;
  }
}
