import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type OpenService, openService } from "../../src/client/service.ts";
import { ServiceSource } from "../../src/client/source.ts";
import { promptChanges } from "../../src/client/watching.ts";
import type { NewVersion } from "../../src/core/ports.ts";
import type { PromptBody } from "../../src/core/prompt.ts";
import { startWithKeys } from "../langfuse/service.ts";
import { startService, type TestService } from "../support/service.ts";

const nobody = { project: "default", actor: "" };

function text(template: string): PromptBody {
  return { type: "text", format: "mustache", template, config: { temperature: 0.5 } };
}

function version(name: string, body: PromptBody, more: Partial<NewVersion> = {}): NewVersion {
  return { name, body, labels: [], commitMessage: "", ...more };
}

let service: TestService;
let opened: OpenService;
let source: ServiceSource;

beforeEach(async () => {
  service = await startService();
  opened = await open(service.runtime.grpcAddress);
  source = new ServiceSource(opened.service);
});

afterEach(async () => {
  opened.close();
  await service.close();
});

function open(address: string, apiKey?: string): Promise<OpenService> {
  return openService({ address, timeoutMs: 5000, apiKey, tls: {} });
}

describe("a running promptd as a source", () => {
  it("answers with what was put there, composition tags as written", async () => {
    await source.createVersion(nobody, version("part", text("part"), { labels: ["production"] }));
    const chat: PromptBody = {
      type: "chat",
      format: "fstring",
      config: [1, null],
      template: [
        { type: "chatmessage", role: "system", content: "be {mood}" },
        { type: "placeholder", name: "history" },
      ],
    };
    const tag = "@@@langfusePrompt:name=part|label=production@@@";
    const made = await source.createVersion(
      nobody,
      version("a/whole", text(tag), {
        tags: ["b", "a"],
        commitMessage: "why",
        labels: ["staging"],
      }),
    );
    await source.createVersion(nobody, version("chat", chat));
    const found = await source.load(nobody, "a/whole", { label: "staging" });
    expect(found).toMatchObject({
      name: "a/whole",
      type: "text",
      version: 1,
      contentHash: made.contentHash,
      revision: made.revision,
      body: text(tag),
      labels: ["latest", "staging"],
      commitMessage: "why",
    });
    expect(found.tags.toSorted()).toEqual(["a", "b"]);
    expect((await source.load(nobody, "chat", { version: 1 })).body).toEqual(chat);
  });

  it("lists prompts and versions page by page", async () => {
    for (const name of ["a", "b", "c"]) {
      await source.createVersion(nobody, version(name, text(`${name} 1`)));
      await source.createVersion(nobody, version(name, text(`${name} 2`), { labels: ["x"] }));
    }
    const first = await source.listPrompts(nobody, {}, { size: 2 });
    expect(first.items.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(first.items[0]).toMatchObject({
      type: "text",
      latestVersion: 2,
      versionCount: 2,
      labels: [
        { label: "latest", version: 2 },
        { label: "x", version: 2 },
      ],
    });
    expect(Date.now() - Number(first.items[0]?.updatedAt)).toBeLessThan(60_000);
    const after = first.next ?? "";
    const rest = await source.listPrompts(nobody, {}, { size: 2, after });
    expect(rest.items.map(({ name }) => name)).toEqual(["c"]);
    expect(rest.next).toBeUndefined();
    const newest = await source.listVersions(nobody, "a", {}, { size: 1 });
    expect(newest.items.map((each) => each.version)).toEqual([2]);
    const before = newest.next ?? 0;
    const oldest = await source.listVersions(nobody, "a", {}, { size: 1, before });
    expect(oldest.items).toMatchObject([{ version: 1, format: "mustache" }]);
    expect(oldest.next).toBeUndefined();
    const labelled = await source.listVersions(nobody, "a", { label: "x" }, { size: 10 });
    expect(labelled.items.map((each) => each.version)).toEqual([2]);
  });

  it("changes tags, and deletes versions", async () => {
    await source.createVersion(nobody, version("p", text("1"), { tags: ["a"] }));
    const emptied = await source.createVersion(nobody, version("p", text("2"), { tags: [] }));
    expect(await source.load(nobody, "p", { version: 2 })).toMatchObject({
      tags: [],
      revision: emptied.revision,
    });
    const tagged = await source.setTags(nobody, { name: "p", tags: ["b"], reason: "" });
    expect(tagged.previous).toEqual([]);
    const moves = [{ label: "production", version: 1 }];
    await service.prompts.setLabels({ name: "p", moves });
    const deleted = await source.deleteVersions(nobody, { name: "p", versions: [1], reason: "" });
    expect(deleted.removed).toEqual([expect.objectContaining(moves[0])]);
    await source.deleteVersions(nobody, { name: "p", versions: "all", reason: "" });
    expect(await source.listPrompts(nobody, {}, { size: 10 })).toEqual({ items: [] });
  });

  it("fails as a source does", async () => {
    await source.createVersion(nobody, version("p", text("1")));
    const late = version("p", text("2"), { expectedLatestVersion: 0 });
    await expect(source.createVersion(nobody, late)).rejects.toMatchObject({ code: "conflict" });
    await expect(source.load(nobody, "q", { version: 1 })).rejects.toMatchObject({
      code: "not_found",
    });
    const broken = version("p", text("1"), { labels: ["UPPER"] });
    await expect(source.createVersion(nobody, broken)).rejects.toMatchObject({
      code: "invalid",
      violations: [{ field: "labels[0]" }],
    });
    const gone = { ...nobody, signal: AbortSignal.abort() };
    await expect(source.load(gone, "p", { version: 1 })).rejects.toMatchObject({
      code: "canceled",
    });
    await service.runtime.close();
    await expect(source.load(nobody, "p", { version: 1 })).rejects.toMatchObject({
      code: "unavailable",
    });
  });

  it("says how long to wait where there were too many calls", async () => {
    const limited = await startWithKeys({ PROMPTD_KEY_RATE: "1" });
    const { service: client, close } = await open(
      limited.runtime.grpcAddress,
      limited.admin.secretKey,
    );
    try {
      const calls = Array.from({ length: 20 }, () =>
        new ServiceSource(client).listPrompts(nobody, {}, { size: 1 }),
      );
      const ended = await Promise.allSettled(calls);
      const refused = ended.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
      expect(refused.length).toBeGreaterThan(0);
      expect(refused[0]).toMatchObject({ code: "too_many", retryAfterMs: expect.any(Number) });
    } finally {
      close();
      await limited.close();
    }
  });
});

describe("changes of a running promptd", () => {
  it("tick for what is there, and for what comes", async () => {
    await source.createVersion(nobody, version("p", text("1")));
    const stop = new AbortController();
    const changes = promptChanges(opened.service, "latest", stop.signal);
    await changes.next();
    const changed = changes.next();
    await source.createVersion(nobody, version("p", text("2")));
    expect(await changed).toEqual({ done: false, value: undefined });
    const come = changes.next();
    await source.createVersion(nobody, version("q", text("1")));
    expect((await come).done).toBe(false);
    stop.abort();
    expect((await changes.next()).done).toBe(true);
  });

  it("tick when the service is gone, so that this is noticed", async () => {
    await source.createVersion(nobody, version("p", text("1")));
    const stop = new AbortController();
    const changes = promptChanges(opened.service, "latest", stop.signal);
    await changes.next();
    const broken = changes.next();
    await service.runtime.close();
    expect((await broken).done).toBe(false);
    stop.abort();
    expect((await changes.next()).done).toBe(true);
  });
});
