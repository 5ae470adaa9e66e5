import { expect, it } from "vitest";
import { heedPolicies, type LabelPolicy, requireApprover, requireAuthor } from "./policy.ts";

const protectedOne: LabelPolicy = { label: "a", protection: "protected" };
const approvedOne: LabelPolicy = { label: "b", protection: "approval" };

const pending = {
  id: "0198c0de-0000-7000-8000-000000000000",
  project: "default",
  name: "p",
  moves: [{ label: "b", from: 1, to: 2 }],
  reason: "",
  author: "key_0000000000000001",
  createdAt: new Date(0),
};

it("lets everyone move what has no policy", () => {
  expect(heedPolicies([], [])).toEqual([]);
  expect(heedPolicies([], undefined)).toEqual([]);
});

it.each([[undefined], [[]], [["read", "write", "admin"] as const]])(
  "lets nobody with the scopes %j move a protected label",
  (scopes) => {
    for (const policy of [protectedOne, approvedOne]) {
      expect(() => heedPolicies([policy], scopes)).toThrow("scope release");
    }
  },
);

it("tells which labels need approval, whatever the scopes", () => {
  const scopes = ["read", "write", "release", "admin"] as const;
  expect(heedPolicies([protectedOne], scopes)).toEqual([]);
  expect(heedPolicies([protectedOne, approvedOne], scopes)).toEqual(["b"]);
});

it("wants an author who is known, and somebody else to approve", () => {
  expect(() => requireAuthor("anonymous", "b")).toThrow("make keys first");
  requireAuthor(pending.author, "b");
  expect(() => requireApprover(pending.author, pending)).toThrow("another key");
  expect(() => requireApprover("anonymous", pending)).toThrow("another key");
  requireApprover("key_0000000000000002", pending);
});
