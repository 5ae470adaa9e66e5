import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { canonicalBody, contentHash } from "../core/content-hash.ts";
import { readFallbackFolder } from "./fallback.ts";
import type { PassedOver } from "./scan.ts";

let folder: string;
let refused: PassedOver[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "promptd-fallback-"));
  refused = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

const read = () => readFallbackFolder(folder, "default", (file) => refused.push(file));

it("knows the prompts of its files, for its project alone", async () => {
  mkdirSync(join(folder, "support"));
  const file = join(folder, "support", "reply.prompt");
  writeFileSync(file, "---\ntags: [t]\n---\nHello {{name}}");
  utimesSync(file, new Date(1000), new Date(2000));
  const prompts = await read();
  expect(prompts.find("default", "support/reply")).toMatchObject({
    name: "support/reply",
    version: 0,
    revision: 0,
    body: { type: "text", template: "Hello {{name}}" },
    tags: ["t"],
    labels: [],
    updatedAt: new Date(2000),
  });
  expect(prompts.find("other", "support/reply")).toBeUndefined();
  expect(prompts.find("default", "support")).toBeUndefined();
  expect(refused).toEqual([]);
});

it("passes over files that are broken or break a limit, and tells why", async () => {
  writeFileSync(join(folder, "broken.json"), "{");
  writeFileSync(join(folder, "a b\u0007.md"), "no such name");
  writeFileSync(join(folder, "good.md"), "good");
  const prompts = await read();
  expect(prompts.find("default", "good")).toBeDefined();
  expect(refused.map(({ path }) => path).sort()).toEqual(["a b\u0007.md", "broken.json"]);
});

it("takes jinja, which no other folder does", async () => {
  writeFileSync(
    join(folder, "greeting.j2"),
    "---\nconfig: {a: 1}\n---\n{% if x %}{{ x }}{% endif %}",
  );
  writeFileSync(join(folder, "broken.j2"), "{% if x %}");
  writeFileSync(join(folder, "greeting.md"), "the same prompt");
  const version = (await read()).find("default", "greeting");
  const body = {
    type: "text",
    format: "jinja",
    template: "{% if x %}{{ x }}{% endif %}",
    config: { a: 1 },
  } as const;
  expect(version).toMatchObject({ body, contentHash: contentHash(canonicalBody(body)) });
  expect(refused).toEqual([
    { path: "greeting.md", why: "greeting.j2 is a file of the same prompt; keep one of them" },
    { path: "broken.j2", why: "text: not a jinja template: it ends inside of a tag" },
  ]);
});

it("is not read where there is no folder", async () => {
  folder = mkdtempSync(join(tmpdir(), "promptd-fallback-"));
  rmSync(folder, { recursive: true });
  await expect(read()).rejects.toMatchObject({ code: "invalid" });
  mkdirSync(folder);
});
