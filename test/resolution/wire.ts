/** How the contract's messages ask, and what they tell. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Resolution } from "../../gen/promptd/v1/prompt_pb.ts";
import type { GetPromptRequestSchema } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { WIRE_REASONS } from "../../src/rpc/convert.ts";
import type { Asking, Told } from "./contract.ts";

type Request = Extract<MessageInitShape<typeof GetPromptRequestSchema>, { $typeName?: never }>;

export function request({ name, label, version, userId }: Asking): Request {
  return {
    name,
    ...(userId !== undefined && { userId }),
    ...(label !== undefined && { selector: { case: "label", value: label } }),
    ...(version !== undefined && { selector: { case: "version", value: version } }),
  };
}

export function toTold(resolution: Resolution): Told {
  const { id, name, version, reason, contentHash, components, traceAttributes } = resolution;
  const { label, arm, bucket, rolloutRevision, unresolvedArm } = resolution;
  return {
    ...{ id, name, version, contentHash, traceAttributes, bucket },
    label: label || undefined,
    arm: arm || undefined,
    unresolvedArm: unresolvedArm || undefined,
    rolloutRevision: Number(rolloutRevision) || undefined,
    reason: Object.entries(WIRE_REASONS).find(([, wire]) => wire === reason)?.[0] ?? "",
    components: components.map((component) => ({
      name: component.name,
      version: component.version,
      contentHash: component.contentHash,
    })),
  };
}
