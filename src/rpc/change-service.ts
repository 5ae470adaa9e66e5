import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  ChangeSchema,
  type ChangeService,
  type ListChangesRequest,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { CHANGE_KINDS, type Change, PROMPT_CHANGE_KINDS } from "../core/change.ts";
import { allowsPrompt } from "../core/keys.ts";
import type { Caller, ChangeFilter, ChangeLog } from "../core/ports.ts";
import { Validator } from "../core/validate.ts";
import { toChange, WIRE_KINDS } from "./convert-changes.ts";
import { fromPageToken, readablePage } from "./pages.ts";
import { requirePrompt } from "./permissions.ts";
import type { Implementation } from "./served.ts";

/** ChangeService on the history of the database. */
export function changeService(changes: ChangeLog): Implementation<typeof ChangeService> {
  return {
    async listChanges(request, caller) {
      const { pageSize, pageToken, name } = request;
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      const filter = fromFilter(request, validator);
      validator.done();
      if (name !== "") requirePrompt(caller, name);
      const before = fromPageToken(pageToken, "number");
      const page = await changes.listChanges(caller, filter, {
        size,
        ...(before === undefined ? {} : { before }),
      });
      const allowed = page.items.filter((item) => maySee(caller, item));
      const { items, nextPageToken } = readablePage(
        ChangeSchema,
        { ...page, items: allowed.map(toChange) },
        (last) => Number(last.revision),
      );
      return create(ListChangesResponseSchema, { changes: items, nextPageToken });
    },
  };
}

/** A key that is limited to some prompts sees of other things nothing. */
function maySee({ promptPatterns = [] }: Caller, { kind, name }: Change): boolean {
  if (promptPatterns.length === 0) return true;
  return PROMPT_CHANGE_KINDS.includes(kind) && allowsPrompt(promptPatterns, name);
}

function fromFilter(request: ListChangesRequest, validator: Validator): ChangeFilter {
  const { name, afterRevision, actor } = request;
  if (name !== "") validator.name(name);
  validator.message(actor, "actor");
  const kinds = CHANGE_KINDS.filter((kind) => request.kinds.includes(WIRE_KINDS[kind]));
  const known = kinds.length === request.kinds.length;
  validator.require(known, "kinds", "expected kinds of changes, each once");
  const since = request.since && timestampDate(request.since);
  const until = request.until && timestampDate(request.until);
  validator.require(!Number.isNaN(since?.getTime()), "since", "expected a time");
  validator.require(!Number.isNaN(until?.getTime()), "until", "expected a time");
  return {
    ...(name && { name }),
    ...(afterRevision > 0n && { after: Number(afterRevision) }),
    ...(actor && { actor }),
    ...(kinds.length > 0 && { kinds }),
    ...(since && { since }),
    ...(until && { until }),
  };
}
