import { create } from "@bufbuild/protobuf";
import {
  ApprovePendingChangeResponseSchema,
  LabelPolicySchema,
  ListLabelPoliciesResponseSchema,
  ListPendingChangesResponseSchema,
  type PolicyService,
  RejectPendingChangeResponseSchema,
  SetLabelPolicyResponseSchema,
} from "../../gen/promptd/v1/policy_service_pb.ts";
import { allowsPrompt } from "../core/keys.ts";
import type { Caller, PolicyStore } from "../core/ports.ts";
import { LATEST_LABEL } from "../core/prompt.ts";
import { Validator } from "../core/validate.ts";
import { fromLabelProtection, toLabelProtection, toPendingChange } from "./convert-policy.ts";
import { fromPageToken, toPageToken } from "./pages.ts";
import { requirePrompt, requireUnlimited } from "./permissions.ts";
import type { Implementation } from "./served.ts";

/** PolicyService on the label policies of a database. */
export function policyService(policies: PolicyStore): Implementation<typeof PolicyService> {
  return {
    async setLabelPolicy({ label, protection, reason }, caller) {
      requireUnlimited(caller, "protect labels");
      const asked = { label, protection: fromLabelProtection(protection), reason };
      const validator = new Validator();
      validator.label(label, "label");
      const held = "latest is kept on the newest version by promptd";
      validator.require(label !== LATEST_LABEL, "label", held);
      validator.message(reason, "reason");
      validator.done();
      const previous = await policies.setLabelPolicy(caller, asked);
      return create(SetLabelPolicyResponseSchema, { previous: toLabelProtection(previous) });
    },

    async listLabelPolicies({ pageSize, pageToken }, caller) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      const after = fromPageToken(pageToken, "string");
      if (after !== undefined) validator.label(after, "page_token");
      validator.done();
      const page = await policies.listLabelPolicies(caller, {
        size,
        ...(after !== undefined && { after }),
      });
      const items = page.items.map(({ label, protection }) =>
        create(LabelPolicySchema, { label, protection: toLabelProtection(protection) }),
      );
      const nextPageToken = toPageToken(page.next);
      return create(ListLabelPoliciesResponseSchema, { policies: items, nextPageToken });
    },

    async listPendingChanges({ pageSize, pageToken, name }, caller) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      if (name !== "") validator.name(name);
      const after = fromPageToken(pageToken, "string");
      if (after !== undefined) validator.uuid(after, "page_token");
      validator.done();
      if (name !== "") requirePrompt(caller, name);
      const page = await policies.listPendingChanges(caller, name === "" ? {} : { name }, {
        size,
        ...(after !== undefined && { after }),
      });
      const allowed = page.items.filter((item) => allowsPrompt(caller.promptPatterns, item.name));
      return create(ListPendingChangesResponseSchema, {
        pending: allowed.map(toPendingChange),
        nextPageToken: toPageToken(page.next),
      });
    },

    async approvePendingChange({ id, reason }, caller) {
      await requireReachable(policies, caller, id, reason);
      const { change, revision } = await policies.approvePendingChange(caller, id, reason);
      return create(ApprovePendingChangeResponseSchema, {
        approved: toPendingChange(change),
        revision: BigInt(revision),
      });
    },

    async rejectPendingChange({ id, reason }, caller) {
      await requireReachable(policies, caller, id, reason);
      const { change, revision } = await policies.rejectPendingChange(caller, id, reason);
      return create(RejectPendingChangeResponseSchema, {
        rejected: toPendingChange(change),
        revision: BigInt(revision),
      });
    },
  };
}

/**
 * Whether the caller may use its key on the prompt of a pending change, which is
 * never of another prompt afterwards.
 *
 * @throws invalid, not_found, forbidden
 */
async function requireReachable(
  policies: PolicyStore,
  caller: Caller,
  id: string,
  reason: string,
): Promise<void> {
  const validator = new Validator();
  validator.uuid(id, "id");
  validator.message(reason, "reason");
  validator.done();
  requirePrompt(caller, (await policies.findPendingChange(caller, id)).name);
}
