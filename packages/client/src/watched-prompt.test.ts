import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { TemplateFormat } from "../../../gen/promptd/v1/prompt_pb.ts";
import {
  BatchItemSchema,
  type WatchedRolloutSchema,
} from "../../../gen/promptd/v1/prompt_service_pb.ts";
import { Rollout_State } from "../../../gen/promptd/v1/rollout_pb.ts";
import { Choices } from "../../../src/core/choice.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import { Prompt } from "./prompt.ts";
import { WatchedPrompt } from "./watched-prompt.ts";

type Item = Extract<MessageInitShape<typeof BatchItemSchema>, { $typeName?: never }>;

let watched: WatchedPrompt;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  watched = new WatchedPrompt("p", { label: "production" }, new Choices());
  watched.line = { stale: false, vouchedAt: performance.now() };
});

afterEach(() => void vi.useRealTimers());

const told = (
  version: number,
  {
    revision = version,
    stale = false,
    ageMs = 0,
    format = TemplateFormat.MUSTACHE as TemplateFormat,
  } = {},
): Item => ({
  result: {
    case: "response",
    value: {
      prompt: {
        ...{ name: "p", version, revision: BigInt(revision), format },
        template: { case: "text", value: `text ${version} {{ x }}` },
      },
      resolution: { name: "p", version, contentHash: "h", stale, ageMs: BigInt(ageMs) },
    },
  },
});

const failed = (code: Code): Item => ({
  result: { case: "error", value: { code, message: `why ${code}` } },
});

const never = () => Promise.reject(new Error("nobody is asked"));

const take = (item: Item, ask: Parameters<WatchedPrompt["take"]>[1] = never) =>
  watched.take(create(BatchItemSchema, item), ask);

/** What a user is given: `v1`, or why nothing. */
function given(userId = ""): string | undefined {
  const found = watched.give(userId);
  if (found === undefined || found instanceof PromptdError) return found?.code;
  const { version, stale } = new Prompt(found, watched.bucket);
  return `v${version}${stale ? " stale" : ""}`;
}

const split = (
  arms: Item[],
  overrides: Record<string, string> = {},
): Extract<MessageInitShape<typeof WatchedRolloutSchema>, { $typeName?: never }> => ({
  rollout: {
    ...{ name: "p", label: "production", state: Rollout_State.RUNNING, salt: "p", revision: 7n },
    arms: arms.map((_, index) => ({
      name: `arm${index}`,
      target: { case: "version", value: index + 2 },
      weight: 0,
    })),
    overrides: Object.entries(overrides).map(([userId, arm]) => ({ userId, arm })),
  },
  buckets: [{ start: 0, arm: "control" }],
  arms,
});

it("knows nothing before it is told, and of what is told later", async () => {
  expect([given(), watched.isKnown]).toEqual([undefined, false]);
  await take(failed(Code.ResourceExhausted));
  expect([given(), watched.isKnown]).toEqual([undefined, false]);
  await take(told(1));
  expect([given(), watched.isKnown]).toEqual(["v1", true]);
});

it("keeps an answer while the service cannot give one, and says since when", async () => {
  await take(told(3));
  vi.advanceTimersByTime(1000);
  for (const worse of [
    failed(Code.Unavailable),
    failed(Code.DeadlineExceeded),
    told(2, { stale: true }),
    told(0, { stale: true }),
  ]) {
    await take(worse);
    expect(given()).toBe("v3 stale");
    expect(watched.ageMs).toBe(1000);
  }
  vi.advanceTimersByTime(500);
  expect(watched.ageMs).toBe(1500);
  watched.vouch();
  expect(given()).toBe("v3");
});

it("takes what the service is not sure of where nothing newer is known", async () => {
  await take(told(2, { stale: true, ageMs: 5000 }));
  expect([given(), watched.ageMs]).toEqual(["v2 stale", 5000]);
  await take(told(3, { stale: true, ageMs: 100 }));
  expect([given(), watched.ageMs]).toEqual(["v3 stale", 100]);
  await take(told(1));
  expect(given()).toBe("v1");
});

it("believes a service that is sure, also that there is none", async () => {
  await take(told(3));
  await take(failed(Code.NotFound));
  expect([given(), watched.error?.message]).toEqual(["not_found", "why 5"]);
  await take(failed(Code.FailedPrecondition));
  expect(given()).toBe("refused");
});

it("gives users of an arm that cannot be reached control, as what stands in", async () => {
  const overrides = { one: "arm0", two: "arm1", three: "arm2" };
  const arms = [told(2), failed(Code.NotFound), failed(Code.Unavailable)];
  await take({ ...told(1), rollout: split(arms, overrides) });
  expect(["", "one", "two", "three"].map(given)).toEqual(["v1", "v2", "v1", "v1 stale"]);
});

it("keeps the arms that it knows while the service cannot reach one", async () => {
  const overrides = { one: "arm0" };
  await take({ ...told(1), rollout: split([told(2)], overrides) });
  vi.advanceTimersByTime(1000);
  await take({ ...told(1), rollout: split([failed(Code.Unavailable)], overrides) });
  expect(["", "one"].map(given)).toEqual(["v1 stale", "v2 stale"]);
  expect(watched.ageMs).toBe(1000);
  await take({ ...told(3), rollout: split([failed(Code.Unavailable)], overrides) });
  expect(["", "one"].map(given)).toEqual(["v3", "v3 stale"]);
});

it("takes nothing of a stream that has been replaced meanwhile", async () => {
  const replaced = new AbortController();
  const taking = watched.take(create(BatchItemSchema, told(1)), never, replaced.signal);
  replaced.abort();
  await take(told(2));
  await taking;
  expect(given()).toBe("v2");
});

it("answers with arms also where there is no control", async () => {
  const overrides = { one: "arm0", two: "arm1" };
  const arms = [told(2), failed(Code.NotFound)];
  await take({ ...failed(Code.FailedPrecondition), rollout: split(arms, overrides) });
  expect(["", "one", "two"].map(given)).toEqual(["refused", "v2", "refused"]);
  expect(watched.error).toBeUndefined();
});

it("asks for an arm that did not fit into a message, and is as it was where that fails", async () => {
  await take(told(1));
  const item = { ...told(1), rollout: split([failed(Code.ResourceExhausted)], { one: "arm0" }) };
  await expect(take(item)).rejects.toThrow("nobody is asked");
  expect(given("one")).toBe("v1");
  const asked: unknown[] = [];
  await take(item, async (...args) => {
    asked.push(args);
    const { result } = create(BatchItemSchema, told(2));
    return result.value as never;
  });
  expect(asked).toEqual([["p", { version: 2 }]]);
  expect(given("one")).toBe("v2");
});

it("answers nobody wrongly where the service is too old to tell of rollouts", async () => {
  const item = create(BatchItemSchema, told(1));
  if (item.result.case === "response" && item.result.value.resolution) {
    item.result.value.resolution.rolloutRevision = 7n;
  }
  await expect(watched.take(item, never)).rejects.toMatchObject({ code: "refused" });
  expect(given("u")).toBeUndefined();
});

it("refuses a rollout that leaves buckets to nobody", async () => {
  const rollout = { ...split([]), buckets: [{ start: 5, arm: "control" }] };
  await expect(take({ ...told(1), rollout })).rejects.toMatchObject({ code: "internal" });
});

it("runs a fallback file of jinja as the service does", async () => {
  await take(told(0, { stale: true, format: TemplateFormat.JINJA }));
  const found = watched.give("");
  if (found === undefined || found instanceof PromptdError) throw new Error("there is no answer");
  const prompt = new Prompt(found, undefined);
  expect(prompt.resolution.reason).toBe("fallback");
  expect(prompt.compile({ variables: { x: "y" } })).toEqual({ type: "text", text: "text 0 y" });
});
