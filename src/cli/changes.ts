import { create, type Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Change,
  Change_Kind,
  ChangeSchema,
  type KeyGrant,
  type ListChangesRequest,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { type Service, withService } from "../client/service.ts";
import type { ChangeKind } from "../core/change.ts";
import { KEY_SCOPES, type KeyScope } from "../core/keys.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { listJson, messageLine, movesText, protectionText, table, timeText } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import { rolloutsText } from "./rollout-changes.ts";
import type { Terminal } from "./terminal.ts";

interface ChangesOptions extends ServiceOptions {
  after?: number;
  actor?: string;
  kind?: ChangeKind[];
  since?: Date;
  until?: Date;
  limit?: number;
  jsonLines?: boolean;
}

/** Which changes are meant, as a request holds it. */
type Filter = Partial<Omit<ListChangesRequest, keyof Message | "pageSize" | "pageToken">>;

/** How many changes are shown where nobody said how many. */
const SHOWN = 50;

/** `promptd changes` */
export async function changes(
  terminal: Terminal,
  name: string | undefined,
  options: ChangesOptions,
): Promise<void> {
  const { after = 0, actor = "", kind = [], since, until } = options;
  const filter = {
    name: name ?? "",
    afterRevision: BigInt(after),
    actor,
    kinds: kind.map((each) => Change_Kind[each.toUpperCase() as Uppercase<ChangeKind>]),
    ...(since && { since: timestampFromDate(since) }),
    ...(until && { until: timestampFromDate(until) }),
  };
  await withService(connectionOf(options, terminal), async (service) => {
    if (options.jsonLines) {
      await printLines(terminal, eachChange(service, filter, options.limit));
      return;
    }
    const { limit = SHOWN, json } = options;
    const all = await allItems(eachChange(service, filter, limit));
    if (json) {
      const response = create(ListChangesResponseSchema, { changes: all });
      terminal.out(listJson(ListChangesResponseSchema, response));
      return;
    }
    if (all.length === limit) {
      terminal.err(`only the newest ${limit} are shown; --limit shows more\n`);
    }
    terminal.out(changesTable(all));
  });
}

/** Changes, newest first. */
export function eachChange(
  service: Service,
  filter: Filter,
  limit?: number,
): AsyncGenerator<Change> {
  const fetch = async (page: { pageSize: number; pageToken: string }) => {
    const response = await service.changes.listChanges({ ...filter, ...page });
    return { items: response.changes, nextPageToken: response.nextPageToken };
  };
  return eachItem(fetch, limit);
}

async function printLines(terminal: Terminal, found: AsyncIterable<Change>): Promise<void> {
  for await (const change of found) {
    if (terminal.outClosed) return;
    terminal.out(messageLine(ChangeSchema, change));
  }
}

function changesTable(all: readonly Change[]): string {
  const rows = all.map((change) => [
    String(change.revision),
    timeText(change.createTime),
    change.name,
    whatChanged(change),
    change.actor,
    change.origin,
    change.reason,
  ]);
  return table(["REVISION", "TIME", "NAME", "CHANGE", "ACTOR", "FROM", "REASON"], rows);
}

function whatChanged(change: Change): string {
  return [whatItself(change), rolloutsText(change.rollouts)].filter(Boolean).join("; ");
}

/** Its rollouts aside. */
function whatItself(change: Change): string {
  const { kind, versions, tags, grant, policy } = change;
  const moves = movesText(change.labels);
  switch (kind) {
    case Change_Kind.VERSION_CREATED:
      return [`created ${versions.join(", ")}`, moves].filter(Boolean).join("; ");
    case Change_Kind.VERSIONS_DELETED:
      return [`deleted ${versions.join(", ")}`, moves].filter(Boolean).join("; ");
    case Change_Kind.LABELS_SET:
      return [moves, approval(change)].filter(Boolean).join("; ");
    case Change_Kind.TAGS_SET:
      return `tags ${tags?.current.join(" ") || "(none)"}`;
    case Change_Kind.KEY_CREATED:
      return `key created${grantText(grant)}`;
    case Change_Kind.KEY_REVOKED:
      return `key revoked${grantText(grant)}`;
    case Change_Kind.KEY_ROTATED:
      return `key rotated${grantText(grant)}`;
    case Change_Kind.PROJECT_CREATED:
      return "project created";
    case Change_Kind.LABEL_POLICY_SET:
      return policy === undefined
        ? "policy"
        : `policy ${protectionText(policy.previous)} -> ${protectionText(policy.current)}`;
    case Change_Kind.LABELS_REQUESTED:
      return `requested ${movesText(change.requested)}`;
    case Change_Kind.REQUEST_REJECTED:
      return `rejected ${movesText(change.requested)}`;
    case Change_Kind.SOURCE_CHANGED:
      return "changed in its source";
    case Change_Kind.ROLLOUT_SET:
    case Change_Kind.ROLLOUT_DELETED:
      return "";
    default:
      return `change of kind ${kind}`;
  }
}

/** ` (ci: read write on support/*)` */
function grantText(grant: KeyGrant | undefined): string {
  if (grant === undefined) return "";
  const { name, scopes, promptPatterns, expireTime, certificateSubject } = grant;
  const may = KEY_SCOPES.filter((scope) =>
    scopes.includes(Scope[scope.toUpperCase() as Uppercase<KeyScope>]),
  ).join(" ");
  const on = promptPatterns.length > 0 ? ` on ${promptPatterns.join(" ")}` : "";
  const until = expireTime === undefined ? "" : ` until ${timeText(expireTime)}`;
  const by = certificateSubject === "" ? "" : ` by ${certificateSubject}`;
  return ` (${name}: ${may}${on}${until}${by})`;
}

function approval({ approver, approvalReason }: Change): string {
  if (approver === "") return "";
  return `approved by ${approver}${approvalReason === "" ? "" : ` (${approvalReason})`}`;
}
