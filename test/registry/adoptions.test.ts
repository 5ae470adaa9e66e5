import { expect, it } from "vitest";
import { canonicalBody, contentHash } from "../../src/core/content-hash.ts";
import type { PromptBody } from "../../src/core/prompt.ts";
import { type Adoption, Adoptions } from "../../src/store/adoptions.ts";
import { verifyChanges } from "../../src/store/change-chain.ts";
import { Registry } from "../../src/store/registry.ts";
import { describeOnBoth } from "./on-both.ts";

const CALLER = { project: "default", actor: "command line" };
const REASON = "migrated from elsewhere";

describeOnBoth("adoptions", (subject) => {
  const adopt = (adoption: Partial<Adoption>) =>
    new Adoptions(subject.database).adopt(CALLER, adoptionOf(adoption));
  const registry = () => new Registry(subject.database);
  const changes = async () =>
    (await registry().listChanges(CALLER, {}, { size: 100 })).items.reverse();
  const numbers = async (name = "a") =>
    (await registry().listVersions(CALLER, name, {}, { size: 10 })).items.map((v) => v.version);

  it("keep numbers with their gaps, times, authors, messages, labels and tags", async () => {
    const versions = [made(2, "two"), made(5, "five"), made(6, "two")];
    const labels = [on("production", 2, "two"), on("staging", 2, "two"), on("odd", 5, "five")];
    const tags = ["y", "x"];
    expect(await adopt({ versions, beside: { labels, tags } })).toEqual({
      added: [2, 5, 6],
      follows: true,
    });
    expect(await registry().load(CALLER, "a", { version: 2 })).toMatchObject({
      author: "someone2",
      createdAt: new Date(1002),
      commitMessage: "message 2",
      labels: ["production", "staging"],
      tags,
      contentHash: hash("two"),
    });
    expect(await registry().find(CALLER, "a", { label: "latest" })).toMatchObject({ version: 6 });
    expect(await changes()).toMatchObject([
      {
        kind: "version_created",
        actor: "command line",
        reason: REASON,
        versions: [2, 5, 6],
        contentHashes: [hash("two"), hash("five"), hash("two")],
        labels: [
          { label: "production", from: 0, to: 2 },
          { label: "staging", from: 0, to: 2 },
          { label: "odd", from: 0, to: 5 },
        ],
        tags: { previous: [], current: tags },
      },
    ]);
    expect(await verifyChanges(subject.database)).toMatchObject({ changes: 1 });
    const next = { name: "a", body: text("seven"), labels: [], commitMessage: "" };
    expect(await registry().createVersion(CALLER, next)).toMatchObject({ version: 7 });
  });

  it("go on where they ended, and do nothing twice", async () => {
    const beside = { labels: [on("production", 1, "1")], tags: ["x"] };
    await adopt({ versions: [made(1, "1")] });
    await adopt({ versions: [made(2, "2"), made(1, "1")], beside });
    const before = await changes();
    expect(before).toHaveLength(2);
    const again = { versions: [made(1, "1"), made(2, "2")], beside };
    expect(await adopt(again)).toEqual({ added: [], follows: true });
    expect(await changes()).toEqual(before);
    const moved = { labels: [on("production", 2, "2")], tags: [] };
    await adopt({ versions: [], beside: moved });
    const [, , last] = await changes();
    expect(last).toMatchObject({ kind: "labels_set", versions: [], tags: { current: [] } });
    expect(await numbers()).toEqual([2, 1]);
  });

  it("overwrite no version, and put no label on another content", async () => {
    await adopt({ versions: [made(1, "here")] });
    const beside = { labels: [on("production", 1, "there")], tags: [] };
    expect(await adopt({ versions: [made(1, "there")], beside })).toMatchObject({ added: [] });
    expect(await registry().load(CALLER, "a", { version: 1 })).toMatchObject({
      contentHash: hash("here"),
      labels: ["latest"],
    });
  });

  it("leave labels, tags and deletions of others as they are", async () => {
    const beside = { labels: [on("production", 1, "1")], tags: ["x"] };
    const versions = [made(1, "1"), made(2, "2"), made(3, "3")];
    await adopt({ versions, beside });
    const moves = [{ label: "production", version: 3 }];
    await registry().setLabels(CALLER, { name: "a", moves, reason: "" });
    await registry().deleteVersions(CALLER, { name: "a", versions: [2], reason: "" });
    const more = [...versions, made(4, "4")];
    expect(await adopt({ versions: more, beside: { ...beside, tags: [] } })).toEqual({
      added: [4],
      follows: false,
    });
    // Nor by a later one, though the last change is that of an adoption.
    expect(await adopt({ versions: [...more, made(5, "5")], beside })).toMatchObject({
      added: [5],
      follows: false,
    });
    expect(await numbers()).toEqual([5, 4, 3, 1]);
    expect(await registry().load(CALLER, "a", { label: "production" })).toMatchObject({
      version: 3,
      tags: ["x"],
    });
  });

  it("refuse another type and a project that is not there, whole", async () => {
    await adopt({ versions: [made(1, "1")] });
    const chat = { ...made(2, ""), body: chatOf("2") };
    await expect(adopt({ versions: [made(3, "3"), chat] })).rejects.toMatchObject({
      code: "refused",
    });
    expect(await numbers()).toEqual([1]);
    const elsewhere = new Adoptions(subject.database).adopt(
      { ...CALLER, project: "nobody" },
      adoptionOf({ versions: [made(1, "1")] }),
    );
    await expect(elsewhere).rejects.toMatchObject({ code: "not_found" });
    expect(await verifyChanges(subject.database)).toMatchObject({ changes: 1 });
  });

  it("are told before, without a trace", async () => {
    const adoptions = new Adoptions(subject.database);
    const adoption = adoptionOf({ versions: [made(1, "1")], beside: { labels: [], tags: ["x"] } });
    expect(await adoptions.plan(CALLER, adoption)).toEqual({ added: [1], follows: true });
    expect(await changes()).toEqual([]);
  });

  it("keep what versions include, and tell which does not compose", async () => {
    const adoptions = new Adoptions(subject.database);
    const parent = "@@@langfusePrompt:name=child|label=production@@@";
    const beside = { labels: [on("production", 1, parent)], tags: [] };
    await adopt({ name: "parent", versions: [made(1, parent)], beside });
    expect(await adoptions.fault(CALLER, "parent", 1)).toContain("child");
    const child = { labels: [on("production", 1, "1")], tags: [] };
    await adopt({ name: "child", versions: [made(1, "1")], beside: child });
    expect(await adoptions.fault(CALLER, "parent", 1)).toBeUndefined();
    const deletion = { name: "child", versions: "all" as const, reason: "" };
    await expect(registry().deleteVersions(CALLER, deletion)).rejects.toMatchObject({
      refusal: { rule: "included" },
    });
  });

  it("keep the order of more labels than a statement takes", async () => {
    const names = Array.from({ length: 2500 }, (_, at) => `l${at}`);
    const labels = names.map((label) => on(label, 1, "1"));
    await adopt({ versions: [made(1, "1")], beside: { labels, tags: [] } });
    const loaded = await registry().load(CALLER, "a", { version: 1 });
    expect(loaded.labels).toEqual([...names, "latest"]);
  });
});

function adoptionOf(adoption: Partial<Adoption>): Adoption {
  return { name: "a", versions: [], reason: REASON, ...adoption };
}

function made(version: number, template: string) {
  return {
    version,
    body: text(template),
    author: `someone${version}`,
    createdAt: new Date(1000 + version),
    commitMessage: `message ${version}`,
  };
}

function on(label: string, version: number, template: string) {
  return { label, version, contentHash: hash(template) };
}

function text(template: string): PromptBody {
  return { type: "text", format: "mustache", template, config: {} };
}

function chatOf(content: string): PromptBody {
  const template = [{ type: "chatmessage" as const, role: "user", content }];
  return { type: "chat", format: "mustache", template, config: {} };
}

function hash(template: string): string {
  return contentHash(canonicalBody(text(template)));
}
