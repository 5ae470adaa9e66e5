import { expect, it } from "vitest";
import { changeHash, type StoredChange } from "./change-chain.ts";

const change: StoredChange = {
  revision: 1,
  project: "default",
  name: "p",
  kind: "tags_set",
  actor: "tester",
  origin: null,
  reason: "ü",
  created_at: 0,
  detail: "{}",
};

it("hashes a change without an origin as before there were origins", () => {
  expect(changeHash("", change)).toBe(
    "32f1eecf261ffadb9936a367f0c1402ff2b8782a7fa1d9a24e66239e565021c1",
  );
});

it.each([{ origin: "" }, { origin: "::1" }, { revision: 2 }, { project: "q" }])(
  "hashes %j otherwise",
  (other) => {
    expect(changeHash("", { ...change, ...other })).not.toBe(changeHash("", change));
  },
);
