import { expect, it } from "vitest";
import type { FileContent } from "../files/header.ts";
import { isReleaseLabel, wantedOf } from "./wanted.ts";

const all = () => true;

function folderOf(...contents: Omit<FileContent, "body">[]) {
  const body = { type: "text", format: "mustache", template: "x", config: {} } as const;
  const prompts = contents.map((content, at) => ({
    ...{ name: `p${at}`, path: `p${at}.md`, bytes: Buffer.from("x") },
    content: { body, ...content },
  }));
  return { prompts, refused: [] };
}

it.each([
  ["v1.2.3", true],
  ["v0.0.0", true],
  ["v1.2.3-rc.1", true],
  ["v10.20.30-0-a.b", true],
  ["v1.2", false],
  ["v01.2.3", false],
  ["v1.2.3-", false],
  ["v1.2.3-a..b", false],
  ["v1.2.3_a", false],
  ["1.2.3", false],
  ["production", false],
])("%s is a release: %s", (label, isRelease) => {
  expect(isReleaseLabel(label)).toBe(isRelease);
});

it("labels are the file's, or one in their place beside its releases", () => {
  const labels = [undefined, [], ["staging", "v1.0.0"], ["latest", "staging"]];
  const folder = folderOf(...labels.map((each) => (each ? { labels: each } : {})));
  const wanted = (label?: string) => wantedOf(folder, all, label).wanted.map((each) => each.labels);
  expect(wanted()).toEqual([["production"], [], ["staging", "v1.0.0"], ["staging"]]);
  expect(wanted("beta")).toEqual([["beta"], ["beta"], ["beta", "v1.0.0"], ["beta"]]);
});

it("what the registry would not take is refused, and what has no name with it", () => {
  const folder = folderOf({ labels: ["A"] }, { tags: [""] }, {});
  const refused = [
    { path: "a.j2", why: "jinja" },
    { path: "p9.md", name: "p9", why: "broken" },
  ];
  const some = wantedOf({ ...folder, refused }, (name) => name !== "p1" && name !== "p9");
  expect(some.wanted.map(({ path }) => path)).toEqual(["p2.md"]);
  expect(some.refused).toEqual([
    { path: "a.j2", name: "a.j2", why: "jinja" },
    { path: "p0.md", name: "p0", why: expect.stringContaining("labels[0]: expected a label") },
  ]);
});
