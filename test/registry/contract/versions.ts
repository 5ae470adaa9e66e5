import { expect, it } from "vitest";
import { canonicalBody, contentHash } from "../../../src/core/content-hash.ts";
import type { PromptBody } from "../../../src/core/prompt.ts";
import { chat, failure, text } from "../fixtures.ts";
import type { Subject } from "../registry.contract.ts";

export function versionRules(subject: Subject): void {
  it("numbers versions from 1 and keeps latest on the newest", async () => {
    const { bench } = subject;
    const first = await bench.create("greeting", "one", { labels: ["production"] });
    const second = await bench.create("greeting", "two");
    expect([first, second]).toMatchObject([
      { version: 1, created: true, previous: [{ label: "production", version: 0 }] },
      { version: 2, created: true, previous: [], revision: first.revision + 1 },
    ]);
    expect(await bench.labels("greeting")).toEqual({ production: 1, latest: 2 });
  });

  it("loads what was created", async () => {
    const { bench } = subject;
    const before = Date.now();
    const body = text("Hello {{name}}", { model: "m" });
    const created = await bench.create("support/greeting", "", {
      body,
      labels: ["production", "canary"],
      tags: ["b", "a"],
      commitMessage: "First",
    });
    const loaded = await bench.registry.load(bench.caller, "support/greeting", {
      label: "production",
    });
    expect(loaded).toEqual({
      name: "support/greeting",
      type: "text",
      version: 1,
      contentHash: contentHash(canonicalBody(body)),
      revision: created.revision,
      updatedAt: loaded.createdAt,
      body,
      labels: ["production", "canary", "latest"],
      tags: ["b", "a"],
      commitMessage: "First",
      author: "tester",
      createdAt: expect.any(Date),
    });
    expect(loaded.createdAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(loaded.createdAt.getTime()).toBeLessThanOrEqual(Date.now());
    const { name, type, version, contentHash: hash, revision, updatedAt } = loaded;
    const pointer = { name, type, version, contentHash: hash, revision, updatedAt };
    expect(await bench.registry.find(bench.caller, name, { version: 1 })).toEqual(pointer);
    expect(created.contentHash).toBe(hash);
  });

  it.each<[string, PromptBody]>([
    ["U+0000 in a text", text("a\u0000b", { "k\u0000": ["\u0000", null, 1.5e300] })],
    ["U+0000 in a chat message", chat("\u0000")],
    ["text beyond ASCII", text("ü 🙂 \u{10ffff} \u2028", { é: "日本" })],
    ["an empty text", text("")],
    ["a scalar config", text("x", null)],
    ["a large text", text("x🙂".repeat(200_000))],
    [
      "a chat with a placeholder",
      {
        type: "chat",
        format: "fstring",
        template: [
          { type: "chatmessage", role: "system", content: "Be {mood}" },
          { type: "placeholder", name: "history" },
        ],
        config: { temperature: 0.2, stop: ["\n"] },
      },
    ],
  ])("gives back %s as it was", async (_, body) => {
    const { bench } = subject;
    const { contentHash: hash } = await bench.create("exact", "", { body });
    const loaded = await bench.registry.load(bench.caller, "exact", { label: "latest" });
    expect(loaded.body).toEqual(body);
    expect(contentHash(canonicalBody(loaded.body))).toBe(hash);
  });

  it("answers with the newest version where the content is the same", async () => {
    const { bench } = subject;
    const first = await bench.create("same", "text");
    const again = await bench.create("same", "text", { commitMessage: "Again" });
    expect(again).toEqual({ ...first, created: false });
    expect(await bench.changes()).toHaveLength(1);

    await bench.create("same", "other");
    expect(await bench.create("same", "text")).toMatchObject({ version: 3, created: true });
  });

  it("applies labels and tags to a version that was there already", async () => {
    const { bench } = subject;
    await bench.create("same", "one", { labels: ["production"], tags: ["t"] });
    await bench.create("same", "two");
    const labeled = await bench.create("same", "two", { labels: ["production"], tags: ["t"] });
    expect(labeled).toMatchObject({
      version: 2,
      created: false,
      previous: [{ label: "production", version: 1 }],
    });
    const tagged = await bench.create("same", "two", { labels: ["production"], tags: ["u"] });
    const both = await bench.create("same", "two", { labels: ["a"], tags: ["v"] });
    const changes = await bench.changes({ after: labeled.revision - 1 });
    expect(changes).toMatchObject([
      {
        revision: labeled.revision,
        kind: "labels_set",
        versions: [],
        labels: [{ label: "production", from: 1, to: 2 }],
      },
      {
        revision: tagged.revision,
        kind: "tags_set",
        labels: [],
        tags: { previous: ["t"], current: ["u"] },
      },
      {
        revision: both.revision,
        kind: "labels_set",
        labels: [{ label: "a", from: 0, to: 2 }],
        tags: { previous: ["u"], current: ["v"] },
      },
    ]);
    expect(changes[0]).not.toHaveProperty("tags");
  });

  it("leaves the tags alone where none are given, and removes them where the list is empty", async () => {
    const { bench } = subject;
    await bench.create("tagged", "one", { tags: ["a"] });
    await bench.create("tagged", "two");
    const load = () => bench.registry.load(bench.caller, "tagged", { label: "latest" });
    expect((await load()).tags).toEqual(["a"]);
    await bench.create("tagged", "three", { tags: [] });
    expect((await load()).tags).toEqual([]);
  });

  it("ignores latest among the labels, and a label named twice", async () => {
    const { bench } = subject;
    const { previous } = await bench.create("labels", "x", { labels: ["latest", "a", "a"] });
    expect(previous).toEqual([{ label: "a", version: 0 }]);
    expect(await bench.changes()).toMatchObject([{ labels: [{ label: "a", from: 0, to: 1 }] }]);
  });

  it("refuses another type, and leaves nothing behind", async () => {
    const { bench } = subject;
    await bench.create("typed", "x");
    const error = await failure(bench.create("typed", "", { body: chat("x"), labels: ["new"] }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("the type cannot change between versions");
    expect(await bench.labels("typed")).toEqual({ latest: 1 });
    expect(await bench.changes()).toHaveLength(1);
  });

  it("holds the caller to the newest version that it expects", async () => {
    const { bench } = subject;
    const expecting = (expectedLatestVersion: number, template: string) =>
      bench.create("expected", template, { expectedLatestVersion });
    expect((await failure(expecting(1, "a"))).message).toBe(
      'prompt "expected" has no version as its newest, not 1',
    );
    expect(await expecting(0, "a")).toMatchObject({ version: 1 });
    const conflict = await failure(expecting(0, "b"));
    expect(conflict.code).toBe("conflict");
    expect(conflict.message).toBe('prompt "expected" has version 1 as its newest, not none');
    expect(await expecting(1, "b")).toMatchObject({ version: 2 });
    // Also before the same content is recognized, and before the type is looked at.
    expect((await failure(expecting(1, "b"))).code).toBe("conflict");
    const other = { body: chat("x"), expectedLatestVersion: 1 };
    expect((await failure(bench.create("expected", "", other))).code).toBe("conflict");
  });

  it("tells what exists where something does not", async () => {
    const { bench } = subject;
    const message = async (name: string, selector: { version: number } | { label: string }) => {
      const error = await failure(bench.registry.find(bench.caller, name, selector));
      expect(error.code).toBe("not_found");
      const loading = await failure(bench.registry.load(bench.caller, name, selector));
      expect(loading.message).toBe(error.message);
      return error.message;
    };
    expect(await message("a", { label: "latest" })).toBe('prompt "a" does not exist');
    await bench.create("a", "1");
    expect(await message("a", { label: "staging" })).toBe(
      'prompt "a" has no label "staging"; it has latest only',
    );
    expect(await message("a", { version: 7 })).toBe(
      'prompt "a" has no version 7; it has version 1',
    );
    for (const template of ["2", "3", "4", "5"]) await bench.create("a", template);
    await bench.label("a", { production: 2 });
    expect(await message("a", { version: 2 ** 32 - 1 })).toBe(
      'prompt "a" has no version 4294967295; it has versions 1 to 5',
    );
    expect(await message("a", { label: "staging" })).toBe(
      'prompt "a" has no label "staging"; it has latest, production',
    );
    await bench.remove("a", [2, 4]);
    expect(await message("a", { version: 2 })).toBe(
      'prompt "a" has no version 2; it has versions 1, 3, 5',
    );
    for (let i = 6; i <= 17; i++) await bench.create("a", String(i), { labels: [`l${i}`] });
    expect(await message("a", { version: 4 })).toBe(
      'prompt "a" has no version 4; it has versions 1, 3, 5, 6, 7, 8, 9, 10, 11, 12 and 5 more',
    );
    expect(await message("a", { label: "zz" })).toBe(
      'prompt "a" has no label "zz"; it has l10, l11, l12, l13, l14, l15, l16, l17, l6, l7 and 3 more',
    );
  });

  it("keeps a label that looks like a number apart from a version", async () => {
    const { bench } = subject;
    await bench.create("numbers", "1", { labels: ["2"] });
    await bench.create("numbers", "2");
    expect(await bench.versionOf("numbers", "2")).toBe(1);
    const pointer = await bench.registry.find(bench.caller, "numbers", { version: 2 });
    expect(pointer.version).toBe(2);
  });

  it("keeps projects apart", async () => {
    const { bench } = subject;
    await bench.create("private", "x", { labels: ["production"], tags: ["t"] });
    const other = { project: "default", actor: "other" };
    const error = await failure(bench.registry.find(other, "private", { version: 1 }));
    expect(error.message).toBe('prompt "private" does not exist');
    const edit = { name: "private", reason: "" };
    const { registry } = bench;
    await failure(registry.load(other, "private", { label: "production" }));
    await failure(registry.listVersions(other, "private", {}, { size: 10 }));
    await failure(registry.setLabels(other, { ...edit, moves: [{ label: "a", version: 1 }] }));
    await failure(registry.setTags(other, { ...edit, tags: [] }));
    await failure(registry.deleteVersions(other, { ...edit, versions: "all" }));
    expect(await registry.listPrompts(other, {}, { size: 10 })).toEqual({ items: [] });
    expect(await registry.listChanges(other, {}, { size: 10 })).toEqual({ items: [] });
  });

  it("knows no project but those it was told of", async () => {
    const { bench } = subject;
    const nowhere = { project: "nowhere", actor: "tester" };
    const { registry } = bench;
    const expected = { code: "not_found", message: 'project "nowhere" does not exist' };
    const edit = { name: "a", reason: "" };
    const version = { name: "a", body: text("x"), labels: [], commitMessage: "" };
    expect(await failure(registry.createVersion(nowhere, version))).toMatchObject(expected);
    const mutations = [
      registry.setLabels(nowhere, { ...edit, moves: [] }),
      registry.setTags(nowhere, { ...edit, tags: [] }),
      registry.deleteVersions(nowhere, { ...edit, versions: "all" }),
    ];
    for (const error of await Promise.all(mutations.map(failure))) {
      expect(error).toMatchObject(expected);
    }
    expect((await failure(registry.find(nowhere, "a", { version: 1 }))).message).toBe(
      'prompt "a" does not exist',
    );
    expect(await registry.listPrompts(nowhere, {}, { size: 10 })).toEqual({ items: [] });
  });
}
