import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Resolution_Reason } from "../../gen/promptd/v1/prompt_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import type {
  RolloutDefinition,
  RolloutDefinitionSchema,
  SetRolloutRequestSchema,
} from "../../gen/promptd/v1/rollout_service_pb.ts";
import { bucketOf } from "../../src/core/rollout/bucket.ts";
import { startService, type TestService } from "../support/service.ts";
import { Watching } from "../support/watching.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService();
});

afterAll(() => service.close());

let prompts = 0;

/** A prompt of three versions, the first of which is `production` and the second `staging`. */
async function newPrompt(): Promise<string> {
  const name = `prompt-${prompts++}`;
  for (const [index, label] of ["production", "staging", "spare"].entries()) {
    await service.prompts.createVersion({
      name,
      template: { case: "text", value: `${name} ${index + 1} {{who}}` },
      labels: [label],
    });
  }
  return name;
}

type Definition = Exclude<MessageInitShape<typeof RolloutDefinitionSchema>, RolloutDefinition>;

const canary = (weight: number, version = 2): Definition => ({
  arms: [{ name: "canary", target: { case: "version", value: version }, weight }],
});

const set = (request: MessageInitShape<typeof SetRolloutRequestSchema>) =>
  service.rollouts.setRollout(request);

/** An id whose bucket is below a weight, or not. */
function userOf(name: string, weight: number, below: boolean): string {
  let index = 0;
  while (bucketOf(name, `u${index}`) < weight !== below) index++;
  return `u${index}`;
}

async function refusal(call: Promise<unknown>) {
  const error = await call.then(
    () => {
      throw new Error("it was not refused");
    },
    (thrown) => ConnectError.from(thrown),
  );
  const [details] = error.findDetails(BadRequestSchema);
  return [Code[error.code], ...(details?.fieldViolations.map(({ field }) => field) ?? [])];
}

describe("a rollout", () => {
  it("is told as it was set, and listed", async () => {
    const name = await newPrompt();
    const definition: Definition = {
      salt: "2026-11",
      arms: [
        { name: "canary", target: { case: "version", value: 2 }, weight: 1 },
        { name: "next", target: { case: "label", value: "latest" }, weight: 9999 },
      ],
      overrides: [{ userId: "José", arm: "control" }],
    };
    const { rollout } = await set({ name, definition, reason: "why" });
    expect(rollout).toMatchObject({
      ...{ name, label: "production", state: Rollout_State.RUNNING, salt: "2026-11" },
      ...{ actor: "anonymous", reason: "why", promotedArm: "" },
      ...definition,
    });
    expect((await service.rollouts.getRollout({ name })).rollout).toEqual(rollout);
    const { rollouts } = await service.rollouts.listRollouts({ name });
    expect(rollouts).toEqual([{ ...rollout, overrides: [] }]);
    const states = [Rollout_State.ABORTED];
    expect((await service.rollouts.listRollouts({ name, states })).rollouts).toEqual([]);
  });

  it("is listed page by page", async () => {
    const names = [await newPrompt(), await newPrompt(), await newPrompt()];
    for (const name of names) {
      for (const label of ["staging", "production"]) {
        await set({ name, label, definition: canary(1) });
      }
    }
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await service.rollouts.listRollouts({ pageSize: 1, pageToken });
      seen.push(...page.rollouts.map(({ name, label }) => `${name} ${label}`));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([...seen].sort());
    expect(seen).toEqual(
      expect.arrayContaining(names.flatMap((name) => [`${name} production`, `${name} staging`])),
    );
  });

  it("decides what GetPrompt, BatchGetPrompts and Compile answer, and why", async () => {
    const name = await newPrompt();
    const { rollout } = await set({
      name,
      definition: { ...canary(5000), overrides: [{ userId: "tester", arm: "canary" }] },
    });
    const [low, high] = [userOf(name, 5000, true), userOf(name, 5000, false)];
    const rolloutRevision = rollout?.revision;
    const expected: [string, object][] = [
      [
        low,
        { version: 2, arm: "canary", bucket: bucketOf(name, low), reason: Resolution_Reason.SPLIT },
      ],
      [
        high,
        {
          version: 1,
          arm: "control",
          bucket: bucketOf(name, high),
          reason: Resolution_Reason.SPLIT,
        },
      ],
      ["tester", { version: 2, arm: "canary", reason: Resolution_Reason.OVERRIDE }],
      ["", { version: 1, arm: "control", reason: Resolution_Reason.LABEL }],
    ];
    for (const [userId, resolution] of expected) {
      const told = { ...resolution, label: "production", rolloutRevision };
      const got = await service.prompts.getPrompt({ name, userId });
      expect(got.resolution).toMatchObject(told);
      expect(got.resolution?.bucket).toBe("bucket" in told ? told.bucket : undefined);
      const compiled = await service.prompts.compile({ name, userId, variables: { who: "you" } });
      expect(compiled.resolution).toMatchObject(told);
      expect(compiled.output.value).toBe(`${name} ${got.prompt?.version} you`);
    }
    const { items } = await service.prompts.batchGetPrompts({
      requests: expected.map(([userId]) => ({ name, userId })),
    });
    expect(
      items.map(({ result }) => result.case === "response" && result.value.resolution?.arm),
    ).toEqual(["canary", "control", "canary", "control"]);
  });

  it("names the version, label and arm to tracing, and nothing of it for a version by number", async () => {
    const name = await newPrompt();
    const { rollout } = await set({ name, definition: canary(10_000) });
    const asked = await service.prompts.getPrompt({ name, userId: "u" });
    expect(asked.resolution?.traceAttributes).toEqual({
      "langfuse.observation.type": "generation",
      "langfuse.observation.prompt.name": name,
      "langfuse.observation.prompt.version": "2",
      "gen_ai.prompt.name": name,
      "gen_ai.prompt.version": "2",
      "promptd.label": "production",
      "promptd.arm": "canary",
      "promptd.rollout.revision": String(rollout?.revision),
    });
    const selector = { case: "version", value: 1 } as const;
    const { resolution } = await service.prompts.getPrompt({ name, selector, userId: "u" });
    expect(resolution).toMatchObject({ arm: "", rolloutRevision: 0n, version: 1 });
    expect(Object.keys(resolution?.traceAttributes ?? {})).not.toContain("promptd.arm");
  });

  it("does not reach into what a prompt includes", async () => {
    const name = await newPrompt();
    const whole = `${name}-whole`;
    await service.prompts.createVersion({
      name: whole,
      template: { case: "text", value: `@@@langfusePrompt:name=${name}|label=production@@@` },
      labels: ["production"],
    });
    await set({ name, definition: canary(10_000) });
    const { prompt, resolution } = await service.prompts.getPrompt({ name: whole, userId: "u" });
    expect(prompt?.template.value).toBe(`${name} 1 {{who}}`);
    expect(resolution).toMatchObject({ arm: "", components: [{ name, version: 1 }] });
  });

  it("is given to callers of Langfuse's API as control", async () => {
    const name = await newPrompt();
    await set({ name, definition: canary(10_000) });
    const url = `http://127.0.0.1:${service.httpPort}/api/public/v2/prompts/${name}`;
    expect(await (await fetch(url)).json()).toMatchObject({ version: 1 });
  });

  it("answers with control once an arm's version is deleted, and says which arm", async () => {
    const name = await newPrompt();
    await set({ name, definition: canary(10_000, 3) });
    await service.prompts.deleteVersions({ name, versions: [3] });
    const { resolution } = await service.prompts.getPrompt({ name, userId: "u" });
    expect(resolution).toMatchObject({
      ...{ version: 1, arm: "control", unresolvedArm: "canary" },
      ...{ reason: Resolution_Reason.LABEL, bucket: bucketOf(name, "u") },
    });
    const metrics = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
    expect(await metrics.text()).toMatch(/promptd_unresolved_arms_total [1-9]/);
  });

  it("answers with control where an arm cannot be compiled with what it includes", async () => {
    const name = await newPrompt();
    const whole = `${name}-whole`;
    const message = (content: string) => ({
      item: { case: "message" as const, value: { role: "user", content } },
    });
    // Of the same name as a variable of the prompt that it includes.
    const clash = { item: { case: "placeholder" as const, value: { name: "who" } } };
    const chats = [
      [message("one")],
      [message(`@@@langfusePrompt:name=${name}|label=production@@@`), clash],
    ];
    for (const items of chats) {
      await service.prompts.createVersion({
        name: whole,
        template: { case: "chat", value: { items } },
      });
    }
    await service.prompts.setLabels({ name: whole, moves: [{ label: "production", version: 1 }] });
    await set({ name: whole, definition: canary(10_000) });
    const asked = { name: whole, userId: "u" };
    const control = { version: 1, arm: "control", unresolvedArm: "canary" };
    const { resolution, output } = await service.prompts.compile(asked);
    expect(resolution).toMatchObject(control);
    expect(output.value).toMatchObject({ messages: [{ content: "one" }] });
    expect((await service.prompts.getPrompt(asked)).resolution).toMatchObject(control);
    const raw = await service.prompts.getPrompt({ ...asked, raw: true });
    expect(raw.resolution).toMatchObject({ version: 2, arm: "canary" });
  });

  it("reaches whoever watches for a user, once an arm can be answered with again", async () => {
    const part = await newPrompt();
    const deep = `${part}-deep`;
    const whole = `${part}-whole`;
    const tag = (name: string) => `@@@langfusePrompt:name=${name}|label=production@@@`;
    const create = (name: string, text: string, labels: string[] = []) =>
      service.prompts.createVersion({ name, template: { case: "text", value: text }, labels });
    await create(`${deep}-0`, "deep", ["production"]);
    for (let depth = 1; depth < 5; depth++) {
      await create(`${deep}-${depth}`, tag(`${deep}-${depth - 1}`), ["production"]);
    }
    await create(whole, "one", ["production"]);
    await create(whole, `two ${tag(part)}`);
    await create(whole, "three");
    await create(part, tag(`${deep}-4`), ["production"]);
    await set({ name: whole, definition: canary(10_000) });
    const stream = new Watching(service.prompts, { prompts: [{ name: whole, userId: "u" }] });
    expect(await stream.next()).toBe("snapshot 0:v1=one");
    await service.prompts.setLabels({ name: part, moves: [{ label: "production", version: 1 }] });
    expect(await stream.next()).toBe(`update 0:v2=two ${part} 1 {{who}}`);
    stream.close();
  });

  it("reaches whoever watches for a user", async () => {
    const name = await newPrompt();
    const stream = new Watching(service.prompts, { prompts: [{ name, userId: "u" }, { name }] });
    expect(await stream.next()).toBe(`snapshot 0:v1=${name} 1 {{who}} 1:v1=${name} 1 {{who}}`);
    await set({ name, definition: canary(10_000) });
    expect(await stream.next()).toBe(`update 0:v2=${name} 2 {{who}} 1:v1=${name} 1 {{who}}`);
    await set({ name, state: Rollout_State.ABORTED });
    expect(await stream.next()).toBe(`update 0:v1=${name} 1 {{who}} 1:v1=${name} 1 {{who}}`);
    stream.close();
  });

  it("pauses, resumes, aborts, begins anew and is deleted", async () => {
    const name = await newPrompt();
    const user = userOf(name, 500, true);
    const arm = async () =>
      (await service.prompts.getPrompt({ name, userId: user })).resolution?.arm;
    await set({ name, definition: canary(500) });
    await set({ name, state: Rollout_State.PAUSED });
    expect(await arm()).toBe("canary");
    expect(await refusal(set({ name, definition: canary(600) }))).toEqual([
      "InvalidArgument",
      "state",
    ]);
    await set({ name, state: Rollout_State.RUNNING });
    expect(await refusal(service.rollouts.deleteRollout({ name }))).toEqual(["FailedPrecondition"]);
    await set({ name, state: Rollout_State.ABORTED });
    expect(await arm()).toBe("");
    expect(await refusal(set({ name, state: Rollout_State.RUNNING }))).toEqual([
      "FailedPrecondition",
    ]);
    await set({ name, definition: canary(500) });
    expect(await arm()).toBe("canary");
    await set({ name, state: Rollout_State.ABORTED });
    await service.rollouts.deleteRollout({ name });
    expect(await refusal(service.rollouts.getRollout({ name }))).toEqual(["NotFound"]);
  });

  it("is refused where something it names is missing", async () => {
    const name = await newPrompt();
    const arms = (...targets: NonNullable<Definition["arms"]>[number]["target"][]): Definition => ({
      arms: targets.map((target, index) => ({ name: `arm-${index}`, target: target as never })),
    });
    const wrong: [string, Parameters<typeof set>[0], string[]][] = [
      [
        "arms that lead nowhere",
        {
          name,
          definition: arms({ case: "version", value: 9 }, { case: "label", value: "nowhere" }),
        },
        ["InvalidArgument", "definition.arms[0].version", "definition.arms[1].label"],
      ],
      [
        "no target",
        { name, definition: { arms: [{ name: "a" }] } },
        ["InvalidArgument", "definition.arms[0]"],
      ],
      [
        "too much weight",
        { name, definition: canary(10_001) },
        ["InvalidArgument", "definition.arms[0].weight", "definition.arms"],
      ],
      ["latest", { name, label: "latest", definition: canary(1) }, ["InvalidArgument", "label"]],
      ["no label", { name, label: "new", definition: canary(1) }, ["InvalidArgument", "label"]],
      [
        "no prompt",
        { name: "none", definition: canary(1) },
        ["InvalidArgument", "label", "definition.arms[0].version"],
      ],
      ["nothing at all", { name }, ["InvalidArgument", "definition"]],
      ["no rollout to end", { name, state: Rollout_State.ABORTED }, ["NotFound"]],
      ["a state of the future", { name, state: 99 as Rollout_State }, ["InvalidArgument", "state"]],
    ];
    for (const [what, request, expected] of wrong) {
      expect(await refusal(set(request)), what).toEqual(expected);
      if (request.state === undefined || request.state < 99) {
        const preview = service.rollouts.previewRollout(request as never);
        expect(await refusal(preview), `preview of ${what}`).toEqual(expected);
      }
    }
  });

  it("is changed by one at a time, and by nobody who has not seen it as it is", async () => {
    const name = await newPrompt();
    const { rollout } = await set({ name, definition: canary(1), expectedRevision: 0n });
    expect(await refusal(set({ name, definition: canary(2), expectedRevision: 0n }))).toEqual([
      "Aborted",
    ]);
    const revision = rollout?.revision ?? 0n;
    await set({ name, definition: canary(2), expectedRevision: revision });
    const late = { name, definition: canary(3), expectedRevision: revision };
    expect(await refusal(set(late))).toEqual(["Aborted"]);
    const weights = [10, 20, 30];
    await Promise.all(weights.map((weight) => set({ name, definition: canary(weight) })));
    const last = await service.rollouts.getRollout({ name });
    expect(weights).toContain(last.rollout?.arms[0]?.weight);
    // What changes nothing is no change.
    const weight = last.rollout?.arms[0]?.weight ?? 0;
    const again = await set({ name, definition: canary(weight), reason: "again" });
    expect(again.rollout).toEqual(last.rollout);
  });

  it("promotes the arm that is named", async () => {
    const name = await newPrompt();
    const { arms } = canary(100);
    await set({
      name,
      definition: {
        arms: [...(arms ?? []), { name: "spare", target: { case: "label", value: "spare" } }],
      },
    });
    const state = Rollout_State.PROMOTED;
    expect(await refusal(set({ name, state }))).toEqual(["InvalidArgument", "promoted_arm"]);
    const { rollout, previous } = await set({ name, state, promotedArm: "spare" });
    expect(rollout).toMatchObject({ state, promotedArm: "spare" });
    expect(previous).toMatchObject([{ label: "production", version: 1 }]);
    const { resolution } = await service.prompts.getPrompt({ name, userId: "u" });
    expect(resolution).toMatchObject({ version: 3, arm: "", rolloutRevision: 0n });
  });
});

describe("a preview", () => {
  it("tells who would see what, before anything is changed", async () => {
    const name = await newPrompt();
    const low = userOf(name, 500, true);
    const definition = { ...canary(500), overrides: [{ userId: "tester", arm: "canary" }] };
    const preview = await service.rollouts.previewRollout({
      name,
      definition,
      userIds: [low, "tester", ""],
    });
    expect(preview).toMatchObject({
      revision: 0n,
      movedBuckets: 500,
      moves: [{ fromArm: "control", toArm: "canary", buckets: 500 }],
      arms: [
        {
          name: "control",
          versionBefore: 1,
          versionAfter: 1,
          bucketsBefore: 10_000,
          bucketsAfter: 9500,
        },
        { name: "canary", versionBefore: 0, versionAfter: 2, bucketsBefore: 0, bucketsAfter: 500 },
      ],
      users: [
        {
          userId: low,
          before: { arm: "control", version: 1, reason: Resolution_Reason.LABEL },
          after: {
            arm: "canary",
            version: 2,
            reason: Resolution_Reason.SPLIT,
            bucket: bucketOf(name, low),
          },
        },
        { before: { version: 1 }, after: { version: 2, reason: Resolution_Reason.OVERRIDE } },
        { before: { version: 1 }, after: { version: 1, reason: Resolution_Reason.LABEL } },
      ],
    });
    expect(await refusal(service.rollouts.getRollout({ name }))).toEqual(["NotFound"]);

    await set({ name, definition });
    const users = [low, "tester", "", "another"];
    const promoting = { name, state: Rollout_State.PROMOTED, userIds: users };
    const promoted = await service.rollouts.previewRollout(promoting);
    expect(promoted.moves).toMatchObject([{ fromArm: "canary", toArm: "control", buckets: 500 }]);
    expect(promoted.users.map(({ after }) => after?.version)).toEqual([2, 2, 2, 2]);
    const aborting = { name, state: Rollout_State.ABORTED, userIds: users };
    const aborted = await service.rollouts.previewRollout(aborting);
    expect(aborted.users.map(({ after }) => after?.version)).toEqual([1, 1, 1, 1]);

    // What is told of users beforehand is what they are given.
    const wider = { name, definition: canary(5000), userIds: users };
    const told = await service.rollouts.previewRollout(wider);
    await set(wider);
    for (const { userId, after } of told.users) {
      const { resolution } = await service.prompts.getPrompt({ name, userId });
      const { arm, version, reason, bucket } = resolution ?? {};
      const given = { arm, version, reason, bucket };
      expect(given).toEqual({
        ...{ arm: after?.arm, version: after?.version, reason: after?.reason },
        bucket: after?.bucket,
      });
    }
  });

  it("takes no more users than it says", async () => {
    const name = await newPrompt();
    const request = { name, definition: canary(1), userIds: Array(1001).fill("u") };
    expect(await refusal(service.rollouts.previewRollout(request))).toEqual([
      "InvalidArgument",
      "user_ids",
    ]);
  });
});
