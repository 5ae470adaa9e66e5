import { expect, it } from "vitest";
import { deployReason } from "./reason.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const URL = "https://ci.example.com/7";

it.each([
  [undefined, [], "deploy"],
  [undefined, ["why"], "why; deploy"],
  [{ commit: COMMIT }, [], "deploy 0123456789ab"],
  [{ commit: `${COMMIT}-dirty` }, [], "deploy 0123456789ab-dirty"],
  [{ commit: COMMIT, url: URL }, [undefined, ""], `deploy 0123456789ab: ${URL}`],
  [
    { commit: COMMIT, branch: "main", author: "Ada\nL", url: URL },
    ["of the file", "of --reason"],
    `of the file; of --reason; deploy 0123456789ab (main) by Ada L: ${URL}`,
  ],
])("%j with %j is %s", (origin, before, reason) => {
  expect(deployReason(origin, ...before)).toBe(reason);
});

it("keeps to the bound, and keeps the commit", () => {
  const origin = { commit: COMMIT, branch: "main" };
  const long = deployReason(origin, "😀".repeat(500));
  expect([...long]).toHaveLength(500);
  expect(long).toMatch(/^😀+…; deploy 0123456789ab \(main\)$/u);
  const longer = deployReason({ ...origin, url: "u".repeat(600) }, "why");
  expect([...longer]).toHaveLength(500);
  expect(longer).toMatch(/^deploy 0123456789ab \(main\): u+…$/);
});

it("lets no name of an author or a branch push the rest out", () => {
  const origin = { commit: COMMIT, branch: "b".repeat(600), author: "a".repeat(600), url: URL };
  const reason = deployReason(origin, "why");
  expect(reason).toMatch(/^why; deploy 0123456789ab \(b{79}…\) by a{79}…: https:.*\/7$/);
});
