import { create as message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import {
  ChatTemplateSchema,
  Resolution_Tier,
  TemplateFormat,
} from "../../gen/promptd/v1/prompt_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { canary, putRollout } from "../support/rollouts.ts";
import { type Chain, changesOf, startChain } from "./behind.ts";

let chain: Chain;

// No poll comes in between.
beforeAll(async () => {
  chain = await startChain({ PROMPTD_LANGFUSE_POLL: "1h" });
});

afterAll(() => chain.close());

const text = (value: string) => ({ case: "text" as const, value });
const labelled = (label: string) => ({ selector: { case: "label" as const, value: label } });
const numbered = (version: number) => ({ selector: { case: "version" as const, value: version } });

describe("reads", () => {
  it("a text with all that stands beside it", async () => {
    const { create, service } = chain;
    await create({
      name: "support/grüezi/日本 100%",
      prompt: "Hello {{name}}",
      config: { model: "m", n: [1, null] },
      labels: ["production", "canary"],
      tags: ["b", "a"],
      commitMessage: "First",
    });
    const { prompt, resolution } = await service.prompts.getPrompt({
      name: "support/grüezi/日本 100%",
    });
    expect(prompt).toMatchObject({
      name: "support/grüezi/日本 100%",
      version: 1,
      template: { case: "text", value: "Hello {{name}}" },
      config: { kind: { case: "structValue" } },
      labels: ["canary", "latest", "production"],
      tags: ["b", "a"],
      commitMessage: "First",
      author: "API",
      revision: 0n,
    });
    const own = await chain.upstream.prompts.getPrompt(
      { name: "support/grüezi/日本 100%" },
      { headers: { "x-api-key": chain.upstream.admin.secretKey } },
    );
    expect(resolution?.contentHash).toBe(own.resolution?.contentHash);
    expect(resolution).toMatchObject({ tier: Resolution_Tier.SOURCE, stale: false });
  });

  it("a chat with placeholders, compiled", async () => {
    const { create, service } = chain;
    await create({
      name: "chat",
      type: "chat",
      prompt: [
        { role: "system", content: "You serve {{product}}." },
        { type: "placeholder", name: "history" },
      ],
      labels: ["production"],
    });
    const { output } = await service.prompts.compile({
      name: "chat",
      variables: { product: "X" },
      placeholders: { history: { messages: [{ role: "user", content: "{{product}}" }] } },
    });
    expect(output.value).toMatchObject({
      messages: [
        { role: "system", content: "You serve X." },
        { role: "user", content: "{{product}}" },
      ],
    });
  });

  it("lists of many prompts, with the versions of their labels", async () => {
    const { create, service } = chain;
    const names = ["many/a", "many/b", "many/c"];
    for (const name of names) {
      await create({ name, labels: ["stable"] });
      if (name !== "many/b") await create({ name });
    }
    const { prompts } = await service.prompts.listPrompts({ folder: "many" });
    const stable = { label: "stable", version: 1 };
    expect(prompts.map(({ name, labels }) => [name, labels])).toMatchObject([
      ["many/a", [{ label: "latest", version: 2 }, stable]],
      ["many/b", [{ label: "latest", version: 1 }, stable]],
      ["many/c", [{ label: "latest", version: 2 }, stable]],
    ]);
  });

  it("what a prompt includes, which is moved by itself", async () => {
    const { create, service } = chain;
    await create({ name: "rules", prompt: "Be brief.", labels: ["production"] });
    await create({ name: "rules", prompt: "Be long." });
    const tag = "@@@langfusePrompt:name=rules|label=production@@@";
    await create({ name: "with-rules", prompt: `${tag} Go.`, labels: ["production"] });
    const compiled = async () =>
      (await service.prompts.compile({ name: "with-rules" })).output.value;
    expect(await compiled()).toBe("Be brief. Go.");
    await service.prompts.setLabels({
      name: "rules",
      moves: [{ label: "production", version: 2 }],
    });
    expect(await compiled()).toBe("Be long. Go.");
  });

  it("and says what there is instead of what there is not", async () => {
    const { create, service } = chain;
    await create({ name: "few", labels: ["production"] });
    await create({ name: "few" });
    const ask = (question: object) => service.prompts.getPrompt({ name: "few", ...question });
    await expect(ask(numbered(3))).rejects.toThrow(
      'prompt "few" has no version 3; it has versions 1 to 2',
    );
    await expect(ask(labelled("qa"))).rejects.toThrow(
      'prompt "few" has no label "qa"; it has latest, production',
    );
    await expect(ask({ name: "none" })).rejects.toThrow('prompt "none" does not exist');
  });

  it("lists prompts and versions", async () => {
    const { create, service } = chain;
    for (const prompt of ["one", "two", "three"]) {
      await create({ name: "listed/a", prompt, labels: [prompt], tags: ["t"] });
    }
    await create({ name: "listed/b", type: "chat", prompt: [{ role: "user", content: "" }] });
    const list = (filter: object) => service.prompts.listPrompts({ folder: "listed", ...filter });
    const { prompts, nextPageToken } = await list({ pageSize: 1 });
    expect(prompts).toMatchObject([
      {
        name: "listed/a",
        type: 1,
        tags: ["t"],
        labels: [
          { label: "latest", version: 3 },
          { label: "one", version: 1 },
          { label: "three", version: 3 },
          { label: "two", version: 2 },
        ],
        latestVersion: 3,
        versionCount: 3,
      },
    ]);
    const rest = await list({ pageToken: nextPageToken });
    expect(rest.prompts).toMatchObject([{ name: "listed/b", type: 2 }]);
    expect(rest.nextPageToken).toBe("");
    expect((await list({ tag: "t" })).prompts).toHaveLength(1);
    expect((await list({ label: "two" })).prompts).toHaveLength(1);
    expect((await list({ label: "four" })).prompts).toEqual([]);

    const versions = await service.prompts.listVersions({ name: "listed/a", pageSize: 2 });
    expect(versions.versions).toMatchObject([
      { version: 3, labels: ["latest", "three"] },
      { version: 2, labels: ["two"] },
    ]);
    const { nextPageToken: pageToken } = versions;
    const last = await service.prompts.listVersions({ name: "listed/a", pageToken });
    expect(last).toMatchObject({ versions: [{ version: 1 }], nextPageToken: "", tags: ["t"] });
    const two = await service.prompts.listVersions({ name: "listed/a", label: "two" });
    expect(two.versions).toMatchObject([{ version: 2 }]);
  });
});

describe("labels", () => {
  it("are put and moved, and the history tells it as of a prompt of promptd's own", async () => {
    const { create, service } = chain;
    for (const prompt of ["one", "two"]) await create({ name: "moved", prompt });
    const set = await service.prompts.setLabels({
      name: "moved",
      moves: [
        { label: "production", version: 1 },
        { label: "canary", version: 2 },
      ],
      reason: "because",
    });
    expect(set.previous).toMatchObject([{ version: 0 }, { version: 0 }]);
    const found = await service.prompts.getPrompt({ name: "moved" });
    expect(found.prompt).toMatchObject({ version: 1, revision: set.revision });
    await service.prompts.setLabels({
      name: "moved",
      moves: [{ label: "production", version: 2 }],
      expectedRevision: set.revision,
    });
    expect((await service.prompts.getPrompt({ name: "moved" })).prompt?.version).toBe(2);
    expect(await changesOf(service, "moved")).toMatchObject([
      {
        kind: Change_Kind.LABELS_SET,
        actor: "anonymous",
        reason: "because",
        labels: [
          { label: "production", fromVersion: 0, toVersion: 1 },
          { label: "canary", fromVersion: 0, toVersion: 2 },
        ],
      },
      {
        kind: Change_Kind.LABELS_SET,
        labels: [{ label: "production", fromVersion: 1, toVersion: 2 }],
      },
    ]);
  });

  it("cannot be taken away, and are not moved for who expects another revision", async () => {
    const { create, service } = chain;
    await create({ name: "kept", labels: ["production"] });
    const set = (version: number, more = {}) =>
      service.prompts.setLabels({
        name: "kept",
        moves: [{ label: "production", version }],
        ...more,
      });
    await expect(set(0)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringContaining("Langfuse's API only puts labels on versions"),
    });
    await expect(set(1, { expectedRevision: 7n })).rejects.toMatchObject({ code: Code.Aborted });
    await expect(set(2)).rejects.toThrow('prompt "kept" has no version 2; it has version 1');
    await expect(
      service.prompts.setLabels({ name: "no", moves: [{ label: "a", version: 1 }] }),
    ).rejects.toMatchObject({ code: Code.NotFound });
    expect((await set(1)).revision).toBe(0n);
    expect(await changesOf(service, "kept")).toEqual([]);
  });

  it("of two versions move one after the other, and it is told how far that came", async () => {
    const { create, service } = chain;
    const include = (name: string, label: string) =>
      `@@@langfusePrompt:name=${name}|label=${label}@@@`;
    await create({ name: "half", prompt: "one", labels: ["loop"] });
    await create({ name: "above", prompt: include("half", "loop") });
    // As deep as can be: what is above it cannot be.
    await create({ name: "deep 0", prompt: "x" });
    for (let depth = 1; depth < 5; depth++) {
      await create({ name: `deep ${depth}`, prompt: include(`deep ${depth - 1}`, "latest") });
    }
    await create({ name: "half", prompt: include("deep 4", "latest") });
    await service.prompts.setLabels({ name: "half", moves: [{ label: "still", version: 1 }] });
    for (const label of ["canary", "loop", "still"])
      await putRollout(service, canary("half", label));
    const moves = [
      { label: "still", version: 1 },
      { label: "canary", version: 1 },
      { label: "loop", version: 2 },
    ];
    await expect(service.prompts.setLabels({ name: "half", moves })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringMatching(
        /; before that these labels were moved: canary \(none\) -> 1$/,
      ),
    });
    // The rollouts of labels that were not reached go on.
    expect((await changesOf(service, "half")).at(-1)).toMatchObject({
      kind: Change_Kind.LABELS_SET,
      labels: [{ label: "canary", fromVersion: 0, toVersion: 1 }],
      rollouts: [{ label: "canary", state: Rollout_State.ABORTED }],
    });
  });

  it("end rollouts with one call, also where Langfuse need not be asked for anything", async () => {
    const { create, service } = chain;
    await create({ name: "split", prompt: "one", labels: ["production"] });
    await create({ name: "split", prompt: "two" });
    const asked = { name: "split", userId: "vip\u0000" };
    const versionOf = async () => (await service.prompts.getPrompt(asked)).prompt?.version;
    const moves = (version: number) => ({
      name: "split",
      moves: [{ label: "production", version }],
    });
    for (const version of [1, 2]) {
      await putRollout(service, canary("split"));
      await expect.poll(versionOf).toBe(2);
      const { previous, abortedRollouts } = await service.prompts.setLabels(moves(version));
      expect({ version: previous[0]?.version, abortedRollouts }).toEqual({
        version: 1,
        abortedRollouts: ["production"],
      });
      const { prompt, resolution } = await service.prompts.getPrompt(asked);
      expect([prompt?.version, resolution?.arm]).toEqual([version, ""]);
    }
    await putRollout(service, canary("split"));
    const kept = await service.prompts.setLabels({ ...moves(1), keepRollout: true });
    expect(kept.abortedRollouts).toEqual([]);
    const version = { name: "split", template: text("three"), labels: ["production"] };
    expect((await service.prompts.createVersion(version)).abortedRollouts).toEqual(["production"]);
    await putRollout(service, canary("split"));
    const deleted = await service.prompts.deleteVersions({ name: "split", versions: [3] });
    expect(deleted.abortedRollouts).toEqual(["production"]);
  });
});

describe("versions", () => {
  const make = (name: string, value: string, more = {}) =>
    chain.service.prompts.createVersion({ name, template: text(value), ...more });

  it("are created, once for the same content, with labels, tags and messages", async () => {
    const { service } = chain;
    const first = await make("made", "one", {
      labels: ["production"],
      tags: ["t"],
      commitMessage: "First",
      config: { kind: { case: "numberValue", value: 1 } },
    });
    expect(first).toMatchObject({ version: 1, created: true });
    const config = { kind: { case: "numberValue" as const, value: 1 } };
    const again = await make("made", "one", { labels: ["production", "qa"], config });
    expect(again).toMatchObject({
      version: 1,
      created: false,
      contentHash: first.contentHash,
      previous: [
        { label: "production", version: 1 },
        { label: "qa", version: 0 },
      ],
    });
    const second = await make("made", "two", { labels: ["production"], expectedLatestVersion: 1 });
    expect(second.previous).toMatchObject([{ label: "production", version: 1 }]);
    const { prompt } = await service.prompts.getPrompt({ name: "made" });
    expect(prompt).toMatchObject({ version: 2, tags: ["t"], revision: second.revision });
    expect(await changesOf(service, "made")).toMatchObject([
      {
        kind: Change_Kind.VERSION_CREATED,
        reason: "First",
        versions: [1],
        contentHashes: [first.contentHash],
        labels: [{ label: "production", fromVersion: 0, toVersion: 1 }],
      },
      { kind: Change_Kind.LABELS_SET, labels: [{ label: "qa", fromVersion: 0, toVersion: 1 }] },
      {
        kind: Change_Kind.VERSION_CREATED,
        versions: [2],
        labels: [{ label: "production", fromVersion: 1, toVersion: 2 }],
      },
    ]);
  });

  it("of chats keep their placeholders", async () => {
    const chat = message(ChatTemplateSchema, {
      items: [
        { item: { case: "message", value: { role: "user", content: "{{x}}" } } },
        { item: { case: "placeholder", value: { name: "history" } } },
      ],
    });
    await make("made-chat", "", { template: { case: "chat", value: chat } });
    const { prompt } = await chain.service.prompts.getPrompt({
      name: "made-chat",
      ...labelled("latest"),
    });
    expect(prompt?.template).toMatchObject({ case: "chat", value: chat });
  });

  it("are refused for what Langfuse does not know, or the state forbids", async () => {
    await make("strict", "one", { labels: ["production"] });
    const { FSTRING } = TemplateFormat;
    const refused = (why: string) => ({
      code: Code.FailedPrecondition,
      message: expect.stringContaining(why),
    });
    await expect(make("strict", "{x}", { format: FSTRING })).rejects.toMatchObject(
      refused("Langfuse knows templates of format mustache alone"),
    );
    await expect(make("strict", "two", { expectedLatestVersion: 4 })).rejects.toMatchObject({
      code: Code.Aborted,
    });
    await expect(make("strict", "one", { tags: ["new"] })).rejects.toMatchObject(
      refused("Langfuse's API sets tags with a new version alone"),
    );
    const missing = "@@@langfusePrompt:name=nowhere|label=production@@@";
    await expect(make("strict", missing)).rejects.toMatchObject(
      refused("Prompt dependency not found: nowhere"),
    );
    await expect(
      chain.service.prompts.setTags({ name: "strict", tags: ["x"] }),
    ).rejects.toMatchObject(refused("Langfuse's API sets tags"));
    expect(await changesOf(chain.service, "strict")).toHaveLength(1);
  });

  it("of many callers at once are all kept", async () => {
    const many = Array.from({ length: 12 }, (_, at) => make("crowd", `text ${at}`));
    const versions = (await Promise.all(many)).map(({ version }) => version);
    expect(versions.sort((a, b) => a - b)).toEqual(many.map((_, at) => at + 1));
  });

  it("are deleted, one by one or all, with their labels", async () => {
    const { service } = chain;
    for (const value of ["one", "two", "three"]) await make("gone", value, { labels: [value] });
    const some = await service.prompts.deleteVersions({ name: "gone", versions: [1, 3] });
    expect(some.removed).toMatchObject([
      { label: "one", version: 1 },
      { label: "three", version: 3 },
    ]);
    const { versions } = await service.prompts.listVersions({ name: "gone" });
    expect(versions).toMatchObject([{ version: 2, labels: ["latest", "two"] }]);
    await service.prompts.deleteVersions({ name: "gone", all: true, reason: "over" });
    await expect(
      service.prompts.getPrompt({ name: "gone", ...labelled("latest") }),
    ).rejects.toMatchObject({ code: Code.NotFound });
    expect((await changesOf(service, "gone")).slice(3)).toMatchObject([
      {
        kind: Change_Kind.VERSIONS_DELETED,
        versions: [1, 3],
        labels: [
          { label: "one", fromVersion: 1, toVersion: 0 },
          { label: "three", fromVersion: 3, toVersion: 0 },
        ],
      },
      { kind: Change_Kind.VERSIONS_DELETED, versions: [2], reason: "over" },
    ]);
    const { changes } = await service.changes.listChanges({ name: "gone", pageSize: 1 });
    expect(changes[0]?.contentHashes).toHaveLength(1);
  });

  it("that others include are not deleted", async () => {
    await make("part", "x", { labels: ["production"] });
    await make("whole", "@@@langfusePrompt:name=part|label=production@@@");
    await expect(
      chain.service.prompts.deleteVersions({ name: "part", versions: [1] }),
    ).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      message: expect.stringContaining("whole v1 depends on part production"),
    });
  });
});
