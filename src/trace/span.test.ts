import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import type { Item, ResolutionItem } from "./item.ts";
import { spanContent } from "./span.ts";

const CANARY: ResolutionItem = {
  kind: "resolution",
  id: "0198c0de-0000-7000-8000-000000000000",
  method: "GetPrompt",
  name: "support/reply",
  version: 4,
  label: "production",
  reason: "split",
  bucket: 4711,
  rollout: { revision: 42, arm: "canary" },
  tier: "memory",
  stale: false,
};

function item(what: ResolutionItem, userId = "user-1"): Item {
  const ids = { traceId: "a".repeat(32), spanId: "b".repeat(16), parent: undefined };
  return { ...ids, project: "acme", startedAt: 1, endedAt: 2, userId, what, bytes: 0 };
}

const EVALUATION = {
  "feature_flag.key": "support/reply@production",
  "feature_flag.provider.name": "promptd",
  "feature_flag.result.variant": "canary",
  "feature_flag.set.id": "acme",
  "feature_flag.version": "42",
};

it("tells the arm of a split, and the evaluation that gave it", () => {
  const hashed = createHash("sha256").update("user-1").digest("hex");
  const { attributes, events } = spanContent(item(CANARY), "hashed");
  expect(attributes).toMatchObject({
    "promptd.arm": "canary",
    "promptd.bucket": 4711,
    "promptd.reason": "split",
    "promptd.rollout.revision": "42",
    "user.hash": hashed,
  });
  expect(events).toEqual([
    {
      name: "feature_flag.evaluation",
      attributes: {
        ...EVALUATION,
        "feature_flag.result.reason": "split",
        "feature_flag.context.id": hashed,
      },
    },
  ]);
});

it("tells an override as what was meant for the user, by the id itself where that is allowed", () => {
  const { bucket, ...rest } = CANARY;
  const overridden: ResolutionItem = { ...rest, bucket: undefined, reason: "override" };
  const { attributes, events } = spanContent(item(overridden), "plain");
  expect(attributes["user.id"]).toBe("user-1");
  expect(Object.keys(attributes)).not.toContain("user.hash");
  expect(Object.keys(attributes)).not.toContain("promptd.bucket");
  expect(events[0]?.attributes).toEqual({
    ...EVALUATION,
    "feature_flag.result.reason": "targeting_match",
    "feature_flag.context.id": "user-1",
  });
});

it("tells no evaluation where nobody was assigned, or the arm could not answer", () => {
  const rollout = { revision: 42, arm: "control" };
  const unassigned: ResolutionItem = { ...CANARY, reason: "label", bucket: undefined, rollout };
  expect(spanContent(item(unassigned, ""), "hashed").events).toEqual([]);
  const unresolved = {
    ...unassigned,
    bucket: 4711,
    rollout: { ...rollout, unresolvedArm: "canary" },
  };
  const { attributes, events } = spanContent(item(unresolved), "hashed");
  expect(events).toEqual([]);
  expect(attributes).toMatchObject({
    "promptd.arm": "control",
    "promptd.unresolved_arm": "canary",
    "promptd.bucket": 4711,
  });
});

it("tells no version of a fallback file", () => {
  const { rollout, ...rest } = CANARY;
  const file: ResolutionItem = { ...rest, version: 0, reason: "fallback", bucket: undefined };
  const { attributes } = spanContent(item(file, ""), "hashed");
  expect(attributes).toMatchObject({
    "gen_ai.prompt.name": "support/reply",
    "promptd.reason": "fallback",
  });
  expect(Object.keys(attributes).filter((name) => /version|user|arm/.test(name))).toEqual([]);
});
