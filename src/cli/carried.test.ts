import { describe, expect, it } from "vitest";
import { carried, requireName, withinLimits } from "./carried.ts";

const held = (more: { labels?: string[]; tags?: string[] }) => ({
  ...{ name: "a", type: "text" as const, versions: [1, 2], labels: [], tags: [] },
  ...more,
});

const version = (number: number, labels: string[] = []) => ({
  ...{ version: number, labels, contentHash: `hash ${number}` },
  ...{ author: "ada", commitMessage: "why", createdAt: new Date(number) },
});

describe("carried", () => {
  it("takes labels and tags as they stand, without latest", () => {
    const found = carried(held({ labels: ["x", "latest"], tags: ["t", "s", "t"] }), [
      version(1, ["x"]),
      version(2, ["latest"]),
    ]);
    expect(found).toEqual({
      labels: [{ label: "x", version: 1, contentHash: "hash 1" }],
      tags: ["t", "s"],
      left: [],
    });
  });

  it("leaves and tells labels that are not allowed, not carried or moved meanwhile", () => {
    const labels = ["No", "gone", "twice"];
    const found = carried(held({ labels }), [version(1, ["No", "twice"]), version(2, ["twice"])]);
    expect(found.labels).toEqual([{ label: "twice", version: 1, contentHash: "hash 1" }]);
    expect(found.left).toEqual([
      { name: "a", version: 1, what: "label", why: expect.stringMatching(/^label No: expected/) },
      { name: "a", version: 2, what: "label", why: expect.stringMatching(/^label twice .*again$/) },
      { name: "a", what: "label", why: "label gone is on a version that was not carried over" },
    ]);
  });

  it("keeps as many tags as promptd holds", () => {
    const tags = Array.from({ length: 51 }, (_, at) => `t${at}`);
    const found = carried(held({ tags: ["\u0007", ...tags] }), []);
    expect(found.tags).toEqual(tags.slice(0, 50));
    expect(found.left).toMatchObject([
      { what: "tags", why: expect.stringContaining("control character") },
      { what: "tags", why: "expected at most 50, found 51; the others were left out" },
    ]);
  });
});

describe("withinLimits", () => {
  const found = (commitMessage: string) => ({
    ...version(1),
    ...{ name: "a", type: "text" as const, revision: 0, tags: [], commitMessage },
    body: { type: "text" as const, format: "mustache" as const, template: "", config: {} },
  });

  it("cuts a commit message that is too long, and tells that", () => {
    const { loaded, left } = withinLimits(found(`\u0000${"ü".repeat(501)}`));
    expect(loaded.commitMessage).toBe("ü".repeat(500));
    expect(left).toMatchObject([{ name: "a", version: 1, what: "commit message" }]);
    expect(withinLimits(found("ü".repeat(500))).left).toEqual([]);
  });
});

it("a name that promptd does not allow is refused", () => {
  expect(() => requireName("a//b")).toThrow("name: must not");
  expect(() => requireName("a/b")).not.toThrow();
});
