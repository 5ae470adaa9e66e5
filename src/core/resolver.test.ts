import { describe, expect, it, vi } from "vitest";
import { NO_ROLLOUTS } from "../../test/support/no-rollouts.ts";
import type { PromptKey } from "./cache-ports.ts";
import { PromptdError } from "./errors.ts";
import type { PromptVersion } from "./prompt.ts";
import { selectorText } from "./prompt-key.ts";
import { Resolver } from "./resolver.ts";
import { bucketOf } from "./rollout/bucket.ts";
import { define, type RolloutDefinition } from "./rollout/definition.ts";
import type { StandingRollout } from "./rollout/rollout.ts";
import type { Found, Tiers } from "./tiers.ts";

const CALLER = { project: "p", actor: "a" };

function found(name: string, template: string, number = 1): Found {
  const version: PromptVersion = {
    ...{ name, type: "text", version: number, contentHash: name, revision: 1 },
    ...{ labels: ["production"], tags: [], commitMessage: "", author: "a" },
    ...{ updatedAt: new Date(0), createdAt: new Date(0) },
    body: { type: "text", format: "mustache", config: {}, template },
  };
  const prompt = { version, asOf: 1, readAt: 0 };
  return { prompt, tier: "memory", stale: false };
}

const missing = new PromptdError("not_found", "there is none");

/** Tiers of which memory has all. */
function tiersOf(find: (key: PromptKey) => Found | PromptdError | undefined) {
  const tiers: Pick<Tiers, "peek" | "find"> = {
    peek(key) {
      const answer = find(key);
      return answer instanceof PromptdError ? undefined : answer;
    },
    async find(key) {
      const answer = find(key) ?? missing;
      if (answer instanceof PromptdError) throw answer;
      return answer;
    },
  };
  return tiers as Tiers;
}

it("refuses alike what includes what is gone, whether or not it was answered before", async () => {
  const prompts = new Map([
    ["parent", found("parent", "@@@langfusePrompt:name=part|label=production@@@")],
    ["part", found("part", "one")],
  ]);
  const tiers = tiersOf(({ name }) => prompts.get(name));
  const resolver = new Resolver({ tiers, rollouts: NO_ROLLOUTS, memory: { weigh() {} } });
  const ask = () => resolver.resolve(CALLER, { name: "parent", selector: { label: "production" } });
  const { choice } = await ask();
  expect(choice.answer.version.body.template).toBe("one");
  prompts.delete("part");
  await expect(ask()).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("which does not exist"),
  });
});

describe("where a label has a rollout", () => {
  const definition: RolloutDefinition = {
    name: "n",
    label: "production",
    state: "running",
    salt: "",
    arms: [
      { name: "canary", target: { version: 4 }, weight: 5000 },
      { name: "gone", target: { version: 9 }, weight: 0 },
      { name: "staging", target: { label: "staging" }, weight: 0 },
    ],
    overrides: [
      { userId: "tester", arm: "canary" },
      { userId: "lost", arm: "gone" },
      { userId: "stager", arm: "staging" },
    ],
  };
  const last = { revision: 7, actor: "a", reason: "", changedAt: new Date(0) };
  const standing = (more: Partial<StandingRollout> = {}): StandingRollout => ({
    ...define(definition),
    ...last,
    ...more,
  });
  const user = (belongs: (bucket: number) => boolean) => {
    let index = 0;
    while (!belongs(bucketOf("n", `user-${index}`))) index++;
    return `user-${index}`;
  };
  const inCanary = user((bucket) => bucket < 5000);
  const inControl = user((bucket) => bucket >= 5000);

  function asking(
    rollouts: Record<string, StandingRollout>,
    prompts: Record<string, Found | PromptdError> = {},
  ) {
    const answers: typeof prompts = {
      lproduction: found("n", "three", 3),
      lstaging: found("n", "five", 5),
      v4: found("n", "four", 4),
      v3: found("n", "three", 3),
      ...prompts,
    };
    const armUnresolved = vi.fn();
    const resolver = new Resolver({
      tiers: tiersOf((key) => answers[selectorText(key)]),
      rollouts: { ...NO_ROLLOUTS, of: (_, label) => rollouts[label] },
      memory: { weigh() {} },
      observer: { answered() {}, armUnresolved },
    });
    const ask = async (
      userId?: string,
      selector: PromptKey["selector"] = { label: "production" },
    ) => {
      const resolved = await resolver.resolve(CALLER, {
        name: "n",
        selector,
        ...(userId !== undefined && { userId }),
      });
      const { answer, reason, rollout } = resolved.choice;
      return { version: answer.version.version, reason, bucket: resolved.bucket, ...rollout };
    };
    return { ask, armUnresolved, resolver };
  }

  it("splits by user id, and tells why", async () => {
    const { ask } = asking({ production: standing() });
    expect(await ask(inCanary)).toEqual({
      ...{ version: 4, reason: "split", arm: "canary", revision: 7 },
      bucket: bucketOf("n", inCanary),
    });
    expect(await ask(inControl)).toEqual({
      ...{ version: 3, reason: "split", arm: "control", revision: 7 },
      bucket: bucketOf("n", inControl),
    });
    const override = { version: 4, reason: "override", arm: "canary", bucket: undefined };
    expect(await ask("tester")).toEqual({ ...override, revision: 7 });
    const nobody = { version: 3, reason: "label", arm: "control", bucket: undefined, revision: 7 };
    expect(await ask()).toEqual(nobody);
  });

  it("answers a version that was asked for by number, and other labels, without it", async () => {
    const { ask } = asking({ production: standing() });
    expect(await ask("tester", { version: 3 })).toEqual({ version: 3, reason: "version" });
    expect(await ask("tester", { label: "staging" })).toEqual({ version: 5, reason: "label" });
  });

  it("follows an arm's label by its pointer, whatever rollout that label has", async () => {
    const staging = standing({ label: "staging" });
    const { ask } = asking({ production: standing(), staging });
    expect(await ask("stager")).toMatchObject({ version: 5, arm: "staging" });
  });

  it.each([
    ["that is not there", missing],
    ["that cannot be reached", new PromptdError("unavailable", "down")],
    ["that composition refuses", new PromptdError("refused", "a part is gone")],
    ["that only a file stands in for", found("n", "file", 0)],
  ])("answers with control in the place of an arm %s, and says so", async (_, v9) => {
    const { ask, armUnresolved } = asking({ production: standing() }, { v9 });
    expect(await ask("lost")).toEqual({
      ...{ version: 3, reason: "label", bucket: undefined, revision: 7 },
      ...{ arm: "control", unresolvedArm: "gone" },
    });
    expect(armUnresolved).toHaveBeenCalledTimes(1);
    expect(await ask("tester")).toMatchObject({ version: 4, arm: "canary" });
    expect(armUnresolved).toHaveBeenCalledTimes(1);
  });

  it.each([
    ["unavailable", true],
    ["not_found", false],
  ] as const)("is stale for an arm that is %s: %s", async (code, stale) => {
    const { resolver } = asking({ production: standing() }, { v9: new PromptdError(code, "") });
    const question = { name: "n", selector: { label: "production" }, userId: "lost" };
    expect(await resolver.resolve(CALLER, question)).toMatchObject({ stale });
  });

  it("says no longer that an arm cannot be answered with, once it can", async () => {
    const own = { name: "own", target: { label: "production" }, weight: 0 };
    const overrides = new Map([["tester", "own"]]);
    const rollout = standing({ arms: [own], overrides });
    const production = found("n", "three", 3);
    // A peek, memory, and then the source.
    let failures = 3;
    const resolver = new Resolver({
      tiers: tiersOf(() => (failures-- > 0 ? missing : production)),
      rollouts: { ...NO_ROLLOUTS, of: () => rollout },
      memory: { weigh() {} },
    });
    const question = { name: "n", selector: { label: "production" }, userId: "tester" };
    const ask = async () => (await resolver.resolve(CALLER, question)).choice.rollout;
    expect(await ask()).toMatchObject({ arm: "control", unresolvedArm: "own" });
    expect(await ask()).toEqual({ arm: "own", revision: 7 });
  });

  it("fails as control does, where neither can be answered with", async () => {
    const lproduction = new PromptdError("unavailable", "down");
    const { ask } = asking({ production: standing() }, { lproduction });
    await expect(ask("lost")).rejects.toBe(lproduction);
  });

  it("hides no fault of its own behind control", async () => {
    const fault = new PromptdError("internal", "a bug");
    const { ask } = asking({ production: standing() }, { v9: fault });
    await expect(ask("lost")).rejects.toBe(fault);
  });

  it("makes one choice of what is the same, and another of what is not", async () => {
    const rollouts = { production: standing() };
    const { resolver } = asking(rollouts);
    const ask = async (userId: string) => {
      const question = { name: "n", selector: { label: "production" }, userId };
      return (await resolver.resolve(CALLER, question)).choice;
    };
    const first = await ask(inCanary);
    expect(await ask(inCanary)).toBe(first);
    expect(await ask("tester")).not.toBe(first);
    expect(await ask(inControl)).not.toBe(first);
    expect(await ask(inCanary)).toBe(first);
    rollouts.production = standing({ revision: 8 });
    expect((await ask(inCanary)).rollout?.revision).toBe(8);
  });

  it("waits for a rollout that is being read, and is stale where none could be", async () => {
    const rollouts: Record<string, StandingRollout> = {};
    const wait = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      rollouts.production = standing();
    });
    const resolver = new Resolver({
      tiers: tiersOf((key) => found("n", "", "version" in key.selector ? key.selector.version : 3)),
      rollouts: { of: (_, label) => rollouts[label], settling: () => wait, isDoubtful: () => true },
      memory: { weigh() {} },
    });
    const question = { name: "n", selector: { label: "production" }, userId: "tester" };
    const resolved = await resolver.resolve(CALLER, question);
    expect(resolved.choice.rollout?.arm).toBe("canary");
    expect(resolved.stale).toBe(true);
  });
});
