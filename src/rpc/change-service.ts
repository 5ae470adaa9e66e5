import { create } from "@bufbuild/protobuf";
import {
  type ChangeService,
  ListChangesResponseSchema,
} from "../../gen/promptd/v1/change_service_pb.ts";
import type { ChangeLog } from "../core/ports.ts";
import { Validator } from "../core/validate.ts";
import type { Implementation } from "./calls.ts";
import { toChange } from "./convert.ts";
import { fromPageToken, toPageToken } from "./pages.ts";

/** ChangeService on the history of the database. */
export function changeService(changes: ChangeLog): Implementation<typeof ChangeService> {
  return {
    async listChanges({ pageSize, pageToken, name, afterRevision }, scope) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      if (name !== "") validator.name(name);
      validator.done();
      const before = fromPageToken(pageToken, "number");
      const filter = {
        ...(name && { name }),
        ...(afterRevision > 0n && { after: Number(afterRevision) }),
      };
      const page = await changes.listChanges(scope, filter, {
        size,
        ...(before === undefined ? {} : { before }),
      });
      return create(ListChangesResponseSchema, {
        changes: page.items.map(toChange),
        nextPageToken: toPageToken(page.next),
      });
    },
  };
}
