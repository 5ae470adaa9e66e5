/** What an answer must be, however it is asked for: one suite for each way. */

import { readFileSync } from "node:fs";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { PromptdError } from "../../src/core/errors.ts";
import type { ChatMessage, JsonValue, PromptBody } from "../../src/core/prompt.ts";
import { bucketOf } from "../../src/core/rollout/bucket.ts";
import type { Compiled, Missing } from "../../src/core/template/compile.ts";
import type { TestService } from "../support/service.ts";

export interface Asking {
  name: string;
  label?: string;
  version?: number;
  userId?: string;
}

export interface Filling {
  variables?: Record<string, JsonValue>;
  placeholders?: Record<string, ChatMessage[]>;
  missing?: Missing;
}

/** A resolution, in the words of the core; what is absent is undefined or left out. */
export interface Told {
  id: string;
  name: string;
  version: number;
  label?: string | undefined;
  reason: string;
  arm?: string | undefined;
  bucket?: number | undefined;
  rolloutRevision?: number | undefined;
  unresolvedArm?: string | undefined;
  contentHash: string;
  components: { name: string; version: number; contentHash: string }[];
  traceAttributes: Record<string, string>;
}

export interface Answered {
  body: PromptBody;
  labels: readonly string[];
  tags: readonly string[];
  stale: boolean;
  resolution: Told;
}

/** A way to ask, and the service that is behind it. */
export interface Subject {
  service: TestService;
  /** @throws PromptdError */
  get(asking: Asking): Promise<Answered>;
  /** @throws PromptdError */
  compile(
    asking: Asking & Filling,
  ): Promise<{ output: Compiled; config: JsonValue; resolution: Told }>;
  /** Waits until what was changed is known to whoever is asked. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const { vectors } = JSON.parse(readFileSync("examples/bucketing/vectors.json", "utf8")) as {
  vectors: { salt: string; user_id: string; bucket: number }[];
};

export function resolutionContract(way: string, open: () => Promise<Subject>): void {
  describe(`asked ${way}`, () => {
    let subject: Subject;
    let count = 0;
    let name: string;

    beforeAll(async () => {
      subject = await open();
    });

    afterAll(() => subject.close());

    type NewVersion = Parameters<Client<typeof PromptService>["createVersion"]>[0];

    /** A prompt of its own with these texts, the first of which is `production`. */
    async function given(...texts: string[]): Promise<string> {
      name = `contract/p${count++}`;
      for (const value of texts) await create({ template: { case: "text", value } });
      if (texts.length > 0) await move({ production: 1 });
      return name;
    }

    const create = (version: NewVersion) =>
      subject.service.prompts.createVersion({ name, ...version });

    /** A message, and a place for those before. */
    const chat = (content: string) => ({
      case: "chat" as const,
      value: {
        items: [
          { item: { case: "message" as const, value: { role: "system", content } } },
          { item: { case: "placeholder" as const, value: { name: "history" } } },
        ],
      },
    });

    const move = (labels: Record<string, number>, of = name) => {
      const moves = Object.entries(labels).map(([label, version]) => ({ label, version }));
      return subject.service.prompts.setLabels({ name: of, moves });
    };

    const to = (arm: string, target: number | string, weight: number) => ({
      name: arm,
      weight,
      target:
        typeof target === "number"
          ? { case: "version" as const, value: target }
          : { case: "label" as const, value: target },
    });

    const split = async (
      arms: ReturnType<typeof to>[],
      more: { salt?: string; overrides?: { userId: string; arm: string }[] } = {},
    ) => {
      const { rollout } = await subject.service.rollouts.setRollout({
        name,
        definition: { arms, ...more },
      });
      return Number(rollout?.revision);
    };

    const setState = (state: Rollout_State) => subject.service.rollouts.setRollout({ name, state });

    const get = async (asking: Partial<Asking> = {}) => {
      await subject.settled();
      return subject.get({ name, ...asking });
    };

    /** Short: `v2 two`. */
    const shown = async (asking: Partial<Asking> = {}) => {
      const { resolution, body } = await get(asking);
      return `v${resolution.version} ${body.template}`;
    };

    const compile = async (asking: Partial<Asking> & Filling = {}) => {
      await subject.settled();
      return subject.compile({ name, ...asking });
    };

    const refusal = async (call: Promise<unknown>) => {
      const thrown = await call.then(
        () => {
          throw new Error("it was not refused");
        },
        (error: unknown) => error,
      );
      expect(thrown).toBeInstanceOf(PromptdError);
      const { code, message } = thrown as PromptdError;
      return { code, message };
    };

    /** An id whose bucket is below a weight, or not. */
    const userOf = (weight: number, below: boolean, salt = name) => {
      let index = 0;
      while (bucketOf(salt, `u${index}`) < weight !== below) index++;
      return `u${index}`;
    };

    it("answers by label, by version, and by `production` where neither is named", async () => {
      await given("one", "two", "three");
      await move({ staging: 2 });
      expect(await shown()).toBe("v1 one");
      expect(await shown({ label: "production" })).toBe("v1 one");
      expect(await shown({ label: "staging" })).toBe("v2 two");
      expect(await shown({ label: "latest" })).toBe("v3 three");
      expect(await shown({ version: 2 })).toBe("v2 two");
      expect((await get({ label: "staging" })).resolution).toMatchObject({
        ...{ name, version: 2, label: "staging", reason: "label", components: [] },
      });
      const { resolution } = await get({ version: 2 });
      expect(resolution).toMatchObject({ name, version: 2, reason: "version" });
      expect(resolution.label).toBeUndefined();
    });

    it("keeps label 3 apart from version 3", async () => {
      await given("one", "two", "three");
      await move({ 3: 1 });
      expect(await shown({ label: "3" })).toBe("v1 one");
      expect(await shown({ version: 3 })).toBe("v3 three");
    });

    it("answers with body, config, labels, tags and content hash of the version", async () => {
      await given();
      const config = { model: "m", nested: { list: [1, null, "é"] } };
      const { contentHash } = await create({
        template: chat("be {{tone}}"),
        config: fromJson(ValueSchema, config),
        labels: ["production", "b"],
        tags: ["t2", "t1"],
      });
      const { body, labels, tags, resolution, stale } = await get();
      expect(body).toEqual({
        type: "chat",
        format: "mustache",
        config,
        template: [
          { type: "chatmessage", role: "system", content: "be {{tone}}" },
          { type: "placeholder", name: "history" },
        ],
      });
      expect([labels, tags.toSorted(), stale]).toEqual([
        ["b", "latest", "production"],
        ["t1", "t2"],
        false,
      ]);
      expect(resolution.contentHash).toBe(contentHash);
    });

    it("gives each answer an id of its own", async () => {
      await given("one");
      const ids = [await get(), await get(), await compile()].map(
        ({ resolution }) => resolution.id,
      );
      for (const id of ids) expect(id).toMatch(UUID_7);
      expect(new Set(ids).size).toBe(3);
    });

    it("tells what is not there, and what is", async () => {
      name = "contract/none";
      expect(await refusal(get())).toMatchObject({
        code: "not_found",
        message: expect.stringContaining(name),
      });
      await given("one", "two");
      for (const [asking, exists] of [
        [{ label: "staging" }, "production"],
        [{ version: 9 }, "2"],
      ] as const) {
        const { code, message } = await refusal(get(asking));
        expect(code).toBe("not_found");
        expect(message).toContain(exists);
      }
    });

    it.each<[string, Partial<Asking>]>([
      ["name", { name: "a|b" }],
      ["label", { label: "No" }],
      ["user id", { userId: "é".repeat(513) }],
    ])("refuses what cannot be a %s", async (_, asking) => {
      await given("one");
      await get();
      expect(await refusal(get(asking))).toMatchObject({ code: "invalid" });
    });

    it("follows a label that moves, and back by what the move answered", async () => {
      await given("one", "two");
      expect(await shown()).toBe("v1 one");
      const { previous } = await move({ production: 2 });
      expect(await shown()).toBe("v2 two");
      await subject.service.prompts.setLabels({ name, moves: previous });
      expect(await shown()).toBe("v1 one");
    });

    it("tells that a prompt, a version or a label was deleted, and when one is there again", async () => {
      await given("one", "two");
      await get();
      await get({ version: 2 });
      await subject.service.prompts.deleteVersions({ name, versions: [2] });
      expect(await refusal(get({ version: 2 }))).toMatchObject({ code: "not_found" });
      await move({ production: 0 });
      expect(await refusal(get())).toMatchObject({ code: "not_found" });
      await move({ production: 1 });
      expect(await shown()).toBe("v1 one");
      await subject.service.prompts.deleteVersions({ name, all: true });
      expect(await refusal(get())).toMatchObject({ code: "not_found" });
      await create({ template: { case: "text", value: "anew" }, labels: ["production"] });
      expect(await shown()).toBe("v3 anew");
    });

    describe("where a label has a rollout", () => {
      it("splits users as the published vectors say", async () => {
        for (const salt of new Set(vectors.map((vector) => vector.salt))) {
          // Left out, it would be the prompt's name.
          if (salt === "") continue;
          await given("one", "two", "three");
          const revision = await split([to("a", 2, 3000), to("b", 3, 3000)], { salt });
          await get();
          for (const { user_id: userId, bucket } of vectors.filter((each) => each.salt === salt)) {
            if (userId === "") continue;
            const [arm, version] =
              bucket < 3000 ? ["a", 2] : bucket < 6000 ? ["b", 3] : ["control", 1];
            const { resolution } = await subject.get({ name, userId });
            expect(resolution).toMatchObject({
              ...{ reason: "split", arm, bucket, version, rolloutRevision: revision },
            });
            expect(resolution.label).toBe("production");
          }
        }
      });

      it("gives nobody in particular control", async () => {
        await given("one", "two");
        const revision = await split([to("all", 2, 10_000)]);
        const { resolution } = await get();
        expect(resolution).toMatchObject({
          ...{ version: 1, reason: "label", arm: "control", rolloutRevision: revision },
        });
        expect(resolution.bucket).toBeUndefined();
      });

      it("gives users with an override their arm, control too", async () => {
        await given("one", "two");
        const overrides = [
          { userId: "in", arm: "canary" },
          { userId: "out", arm: "control" },
        ];
        await split([to("canary", 2, 10_000)], { overrides });
        const inside = (await get({ userId: "in" })).resolution;
        expect(inside).toMatchObject({ version: 2, reason: "override", arm: "canary" });
        expect(inside.bucket).toBeUndefined();
        const outside = (await get({ userId: "out" })).resolution;
        expect(outside).toMatchObject({ version: 1, reason: "override", arm: "control" });
      });

      it("keeps users where they are while weights grow", async () => {
        await given("one", "two");
        await split([to("canary", 2, 1000)]);
        const [first, later] = [userOf(1000, true), userOf(1000, false)];
        expect([await shown({ userId: first }), await shown({ userId: later })]).toEqual([
          "v2 two",
          "v1 one",
        ]);
        await split([to("canary", 2, 10_000)]);
        expect([await shown({ userId: first }), await shown({ userId: later })]).toEqual([
          "v2 two",
          "v2 two",
        ]);
      });

      it("goes on splitting while it is paused, and sends all back when it is aborted", async () => {
        await given("one", "two");
        await split([to("canary", 2, 5000)]);
        const userId = userOf(5000, true);
        expect(await shown({ userId })).toBe("v2 two");
        await setState(Rollout_State.PAUSED);
        expect(await shown({ userId })).toBe("v2 two");
        await setState(Rollout_State.ABORTED);
        const { resolution } = await get({ userId });
        expect(resolution).toMatchObject({ version: 1, reason: "label" });
        expect(resolution.arm).toBeUndefined();
        expect(resolution.bucket).toBeUndefined();
      });

      it("sends all to the arm that is promoted", async () => {
        await given("one", "two");
        await split([to("canary", 2, 100)]);
        const userId = userOf(100, false);
        expect(await shown({ userId })).toBe("v1 one");
        await setState(Rollout_State.PROMOTED);
        expect(await shown({ userId })).toBe("v2 two");
        expect((await get({ userId })).resolution.arm).toBeUndefined();
      });

      it("sends all to where the label moves", async () => {
        await given("one", "two", "three");
        await split([to("canary", 2, 10_000)]);
        expect(await shown({ userId: "u" })).toBe("v2 two");
        await move({ production: 3 });
        expect(await shown({ userId: "u" })).toBe("v3 three");
      });

      it("answers with control where an arm cannot be answered with", async () => {
        await given("one", "two");
        await split([to("gone", 2, 10_000)]);
        expect(await shown({ userId: "u" })).toBe("v2 two");
        await subject.service.prompts.deleteVersions({ name, versions: [2] });
        const { resolution } = await get({ userId: "u" });
        expect(resolution).toMatchObject({
          ...{ version: 1, reason: "label", arm: "control", unresolvedArm: "gone" },
          bucket: bucketOf(name, "u"),
        });
      });

      it("follows the pointer of an arm's label, and no rollout of it", async () => {
        await given("one", "two", "three");
        await move({ staging: 2 });
        await split([to("staging", "staging", 10_000)]);
        await subject.service.rollouts.setRollout({
          name,
          label: "staging",
          definition: { arms: [to("other", 3, 10_000)] },
        });
        expect(await shown({ userId: "u" })).toBe("v2 two");
        expect(await shown({ userId: "u", label: "staging" })).toBe("v3 three");
        await move({ staging: 1 });
        expect(await shown({ userId: "u" })).toBe("v1 one");
        expect((await get({ userId: "u" })).resolution.arm).toBe("staging");
      });

      it("changes no version that is asked for by number, and no other label", async () => {
        await given("one", "two", "three");
        await move({ staging: 1 });
        await split([to("canary", 2, 10_000)]);
        expect(await shown({ userId: "u", version: 1 })).toBe("v1 one");
        expect(await shown({ userId: "u", label: "staging" })).toBe("v1 one");
        const { resolution } = await get({ userId: "u", version: 1 });
        expect(resolution.arm).toBeUndefined();
      });
    });

    describe("where a prompt includes others", () => {
      const include = (child: string, how = "label=production") =>
        `@@@langfusePrompt:name=${child}|${how}@@@`;

      it("puts them in, whoever asks, and tells which", async () => {
        const child = await given("inner {{who}}", "canary");
        await split([to("canary", 2, 10_000)]);
        const hash = (await get({ version: 1 })).resolution.contentHash;
        await given(`<${include(child)}>`);
        const { body, resolution } = await get({ userId: "u" });
        expect(body.template).toBe("<inner {{who}}>");
        expect(resolution.components).toEqual([{ name: child, version: 1, contentHash: hash }]);
        const { output } = await compile({ variables: { who: "me" } });
        expect(output).toEqual({ type: "text", text: "<inner me>" });
      });

      it("follows their labels, in arms too", async () => {
        const child = await given("one", "two");
        const parent = await given("plain", `<${include(child)}>`);
        await split([to("canary", 2, 10_000)]);
        expect(await shown({ userId: "u" })).toBe("v2 <one>");
        await move({ production: 2 }, child);
        expect(await shown({ name: parent, userId: "u" })).toBe("v2 <two>");
      });

      it("compiles none that no single version could be", async () => {
        const child = await given("plain", "{{history}}");
        await given();
        await create({ template: chat(include(child)), labels: ["production"] });
        const placeholders = { history: [] };
        const { output } = await compile({ placeholders });
        expect(output).toMatchObject({ messages: [{ role: "system", content: "plain" }] });
        await move({ production: 2 }, child);
        expect(await refusal(compile({ placeholders }))).toMatchObject({ code: "refused" });
        expect((await get()).resolution.components).toMatchObject([{ name: child, version: 2 }]);
      });
    });

    describe("compiles", () => {
      it("values verbatim, what is no text as JSON, and parses neither", async () => {
        await given("{{a}} {{b}} {{c.d}} {{e}}");
        const variables = { a: "{{b}} <&>", b: { z: 1, y: [true, null] }, c: { d: 1e21 }, e: 0 };
        const { output, config, resolution } = await compile({ variables });
        const text = '{{b}} <&> {"y":[true,null],"z":1} 1e+21 0';
        expect(output).toEqual({ type: "text", text });
        expect(config).toEqual({});
        expect(resolution).toMatchObject({
          name,
          version: 1,
          label: "production",
          reason: "label",
        });
      });

      it("strictly, or keeps what is missing, or leaves it out", async () => {
        await given("{{a}}-{{ b }}-{{c}}");
        const variables = { a: "A", b: null };
        const { code, message } = await refusal(compile({ variables }));
        expect(code).toBe("invalid");
        expect(message).toMatch(/variables\.b.*variables\.c/);
        const text = async (missing: Missing) => (await compile({ variables, missing })).output;
        expect(await text("keep")).toEqual({ type: "text", text: "A-{{ b }}-{{c}}" });
        expect(await text("empty")).toEqual({ type: "text", text: "A--" });
      });

      it("fstring as such", async () => {
        await given();
        await create({
          template: { case: "text", value: "{a} {{b}}" },
          format: 2,
          labels: ["production"],
        });
        const { output } = await compile({ variables: { a: "A" } });
        expect(output).toEqual({ type: "text", text: "A {b}" });
      });

      it("chat prompts with their placeholders", async () => {
        await given();
        await create({
          template: chat("be {{tone}}"),
          labels: ["production"],
        });
        const history = [{ role: "user", content: "{{tone}}" }];
        const variables = { tone: "kind" };
        const { output } = await compile({ variables, placeholders: { history } });
        const system = { role: "system", content: "be kind" };
        expect(output).toMatchObject({ type: "chat", messages: [system, ...history] });
        expect(await refusal(compile({ variables, missing: "keep" }))).toMatchObject({
          code: "invalid",
          message: expect.stringContaining("history"),
        });
        const empty = await compile({ variables, missing: "empty" });
        expect(empty.output).toMatchObject({ type: "chat", messages: [system] });
      });

      it("no sections, unless they are kept", async () => {
        await given("{{#a}}x{{/a}}");
        expect(await refusal(compile({ variables: { a: "A" } }))).toMatchObject({
          code: "invalid",
        });
        const { output } = await compile({ variables: { a: "A" }, missing: "keep" });
        expect(output).toEqual({ type: "text", text: "{{#a}}x{{/a}}" });
      });

      it("the arm that the user is given", async () => {
        await given("one {{who}}", "two {{who}}");
        await split([to("canary", 2, 5000)]);
        const userId = userOf(5000, true);
        const { output, resolution } = await compile({ userId, variables: { who: "me" } });
        expect(output).toEqual({ type: "text", text: "two me" });
        expect(resolution).toMatchObject({ arm: "canary", reason: "split" });
      });

      it("no values that JSON does not know", async () => {
        await given("{{a}}");
        await get();
        let deep: JsonValue = "x";
        for (let i = 0; i < 40; i++) deep = [deep];
        expect(await refusal(compile({ variables: { a: deep } }))).toMatchObject({
          code: "invalid",
        });
      });
    });

    it("brings what links a model call to the version", async () => {
      await given("one", "two");
      const link = (version: number) => ({
        "langfuse.observation.type": "generation",
        "langfuse.observation.prompt.name": name,
        "langfuse.observation.prompt.version": `${version}`,
        "gen_ai.prompt.name": name,
        "gen_ai.prompt.version": `${version}`,
      });
      const attributes = async (asking: Partial<Asking>) =>
        (await get(asking)).resolution.traceAttributes;
      expect(await attributes({ version: 2 })).toEqual(link(2));
      expect(await attributes({})).toEqual({ ...link(1), "promptd.label": "production" });
      const revision = await split([to("canary", 2, 10_000)]);
      expect(await attributes({ userId: "u" })).toEqual({
        ...link(2),
        "promptd.label": "production",
        "promptd.arm": "canary",
        "promptd.rollout.revision": `${revision}`,
      });
    });
  });
}
