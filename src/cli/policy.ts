import { create } from "@bufbuild/protobuf";
import {
  ListLabelPoliciesResponseSchema,
  SetLabelPolicyResponseSchema,
} from "../../gen/promptd/v1/policy_service_pb.ts";
import { LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";
import { withService } from "../client/service.ts";
import { connectionOf, type ServiceOptions } from "./options.ts";
import { listJson, messageJson, protectionText, table } from "./output.ts";
import { allItems, eachItem } from "./pages.ts";
import type { Terminal } from "./terminal.ts";

interface PolicyOptions extends ServiceOptions {
  approval?: boolean;
  reason: string;
}

/** `promptd policy set` */
export async function setPolicy(
  terminal: Terminal,
  label: string,
  options: PolicyOptions,
): Promise<void> {
  const { APPROVAL, PROTECTED } = LabelProtection;
  await change(terminal, label, options.approval ? APPROVAL : PROTECTED, options);
}

/** `promptd policy remove` */
export async function removePolicy(
  terminal: Terminal,
  label: string,
  options: PolicyOptions,
): Promise<void> {
  await change(terminal, label, LabelProtection.NONE, options);
}

/** `promptd policy list` */
export async function listPolicies(terminal: Terminal, options: ServiceOptions): Promise<void> {
  const all = await withService(connectionOf(options, terminal), ({ policies }) =>
    allItems(
      eachItem(async (page) => {
        const response = await policies.listLabelPolicies(page);
        return { items: response.policies, nextPageToken: response.nextPageToken };
      }),
    ),
  );
  if (options.json) {
    const response = create(ListLabelPoliciesResponseSchema, { policies: all });
    terminal.out(listJson(ListLabelPoliciesResponseSchema, response));
    return;
  }
  const rows = all.map(({ label, protection }) => [label, protectionText(protection)]);
  terminal.out(table(["LABEL", "PROTECTION"], rows));
}

async function change(
  terminal: Terminal,
  label: string,
  protection: LabelProtection,
  options: PolicyOptions,
): Promise<void> {
  const { reason } = options;
  const response = await withService(connectionOf(options, terminal), ({ policies }) =>
    policies.setLabelPolicy({ label, protection, reason }),
  );
  if (options.json) {
    terminal.out(messageJson(SetLabelPolicyResponseSchema, response));
    return;
  }
  const { previous } = response;
  const before = previous === protection ? "as before" : `before: ${protectionText(previous)}`;
  terminal.out(`protection of ${label}: ${protectionText(protection)} (${before})\n`);
}
