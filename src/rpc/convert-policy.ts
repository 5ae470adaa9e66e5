/** As `convert.ts`, for label policy. */

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type PendingChange as PendingChangeMessage,
  PendingChangeSchema,
} from "../../gen/promptd/v1/policy_service_pb.ts";
import { LabelProtection as LabelProtectionMessage } from "../../gen/promptd/v1/prompt_pb.ts";
import { PromptdError } from "../core/errors.ts";
import type { LabelProtection, PendingChange } from "../core/policy.ts";
import type { LabelChange } from "../core/prompt.ts";

const LABEL_PROTECTIONS: Record<LabelProtection, LabelProtectionMessage> = {
  none: LabelProtectionMessage.NONE,
  protected: LabelProtectionMessage.PROTECTED,
  approval: LabelProtectionMessage.APPROVAL,
};

export function toLabelProtection(protection: LabelProtection): LabelProtectionMessage {
  return LABEL_PROTECTIONS[protection];
}

export function fromLabelProtection(protection: LabelProtectionMessage): LabelProtection {
  switch (protection) {
    case LabelProtectionMessage.NONE:
      return "none";
    case LabelProtectionMessage.PROTECTED:
      return "protected";
    case LabelProtectionMessage.APPROVAL:
      return "approval";
    default:
      throw PromptdError.invalid({
        field: "protection",
        description: "expected NONE, PROTECTED or APPROVAL",
      });
  }
}

export function toLabelChange({ label, from, to }: LabelChange) {
  return { label, fromVersion: from, toVersion: to };
}

export function toPendingChange(pending: PendingChange): PendingChangeMessage {
  return create(PendingChangeSchema, {
    id: pending.id,
    name: pending.name,
    moves: pending.moves.map(toLabelChange),
    reason: pending.reason,
    author: pending.author,
    createTime: timestampFromDate(pending.createdAt),
  });
}
