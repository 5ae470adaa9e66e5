import { create } from "@bufbuild/protobuf";
import {
  ChangeSchema,
  type ChangeService,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import { allowsPrompt } from "../core/keys.ts";
import type { ChangeLog } from "../core/ports.ts";
import { Validator } from "../core/validate.ts";
import type { Implementation } from "./calls.ts";
import { toChange } from "./convert.ts";
import { fromPageToken, readablePage } from "./pages.ts";
import { requirePrompt } from "./permissions.ts";

/** ChangeService on the history of the database. */
export function changeService(changes: ChangeLog): Implementation<typeof ChangeService> {
  return {
    async listChanges({ pageSize, pageToken, name, afterRevision }, caller) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      if (name !== "") validator.name(name);
      validator.done();
      if (name !== "") requirePrompt(caller, name);
      const before = fromPageToken(pageToken, "number");
      const filter = {
        ...(name && { name }),
        ...(afterRevision > 0n && { after: Number(afterRevision) }),
      };
      const page = await changes.listChanges(caller, filter, {
        size,
        ...(before === undefined ? {} : { before }),
      });
      const allowed = page.items.filter((item) => allowsPrompt(caller.promptPatterns, item.name));
      const { items, nextPageToken } = readablePage(
        ChangeSchema,
        { ...page, items: allowed.map(toChange) },
        (last) => Number(last.revision),
      );
      return create(ListChangesResponseSchema, { changes: items, nextPageToken });
    },
  };
}
