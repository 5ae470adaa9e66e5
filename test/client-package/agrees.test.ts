import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { GetPromptResponse } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { createPromptdClient, PromptdError } from "../../packages/client/src/index.ts";
import { fromItemError } from "../../src/client/service.ts";
import { fromBodyFields } from "../../src/rpc/convert.ts";
import { request, toTold } from "../resolution/wire.ts";
import { type FaultyProxy, tcpProxy } from "../support/faulty-proxy.ts";
import { startService, type TestService } from "../support/service.ts";

const STEPS = 150;
const NAMES = ["a", "b", "c"];
const LABELS = ["production", "staging", "x"];
const USERS = ["", "vip", ...Array.from({ length: 12 }, (_, index) => `user-${index}`)];
const LAST = "last";

let service: TestService;
let proxy: FaultyProxy<"cut">;

beforeAll(async () => {
  service = await startService();
  proxy = await tcpProxy(`http://${service.runtime.grpcAddress}`);
});

afterAll(async () => {
  proxy.close();
  await service.close();
});

/** The same in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Everything that was ever asked for here. */
const ASKED = NAMES.flatMap((name) => [
  ...LABELS.map((label) => ({ name, label })),
  ...[1, 2, 3].map((version) => ({ name, version })),
]);

it("gives every user what the service gives them, whatever is changed, and though it is cut off", {
  timeout: 120_000,
}, async () => {
  const below = random(1);
  const pick = <Item>(items: readonly Item[]) => items[below(items.length)] as Item;
  const { prompts, rollouts } = service;
  const client = createPromptdClient({ address: proxy.url, prompts: [LAST, ...ASKED] });
  const target = () =>
    below(2) === 0
      ? { case: "version" as const, value: 1 + below(4) }
      : { case: "label" as const, value: pick(LABELS) };
  const include = `@@@langfusePrompt:name=${NAMES[0]}|label=production@@@`;
  const done: string[] = [];
  const changes: Record<string, () => Promise<unknown>> = {
    create: () => {
      const name = pick(NAMES);
      const text = name !== NAMES[0] && below(3) === 0 ? include : "";
      const value = `text ${below(1000)} {{who}} ${text}`;
      const labels = below(2) === 0 ? [pick(LABELS)] : [];
      return prompts.createVersion({ name, template: { case: "text", value }, labels });
    },
    move: () => {
      const moves = [{ label: pick(LABELS), version: below(5) }];
      return prompts.setLabels({ name: pick(NAMES), moves, keepRollout: below(2) === 0 });
    },
    tag: () => prompts.setTags({ name: pick(NAMES), tags: [`t${below(3)}`] }),
    delete: () => prompts.deleteVersions({ name: pick(NAMES), versions: [1 + below(6)] }),
    split: () => {
      const arms = ["one", "two"].map((arm) => ({
        name: arm,
        target: target(),
        weight: below(5001),
      }));
      const overrides = below(2) === 0 ? [{ userId: "vip", arm: pick(["one", "control"]) }] : [];
      const definition = { arms, overrides };
      return rollouts.setRollout({ name: pick(NAMES), label: pick(LABELS), definition });
    },
    state: () => {
      const { RUNNING, PAUSED, ABORTED, PROMOTED } = Rollout_State;
      const state = pick([RUNNING, PAUSED, ABORTED, PROMOTED]);
      const promotedArm = state === PROMOTED ? "one" : "";
      return rollouts.setRollout({ name: pick(NAMES), label: pick(LABELS), state, promotedArm });
    },
  };

  try {
    for (let step = 0; step < STEPS; step++) {
      if (step % 40 === 39) proxy.fail("cut");
      for (let i = below(4); i >= 0; i--) {
        const [kind, change] = pick(Object.entries(changes));
        await change().then(
          () => done.push(kind),
          () => {},
        );
      }
      proxy.fail(undefined);
      const value = `${step}`;
      const template = { case: "text", value } as const;
      await prompts.createVersion({ name: LAST, template, labels: ["production"] });
      await vi.waitFor(
        () => {
          if (client.get(LAST).body.template !== value) throw new Error("not told yet");
        },
        { timeout: 20_000, interval: 5 },
      );
      await compare(step);
    }
    // Each of them was done, not only refused.
    expect(new Set(done)).toEqual(new Set(Object.keys(changes)));
  } finally {
    await client.close();
  }

  async function compare(step: number): Promise<void> {
    const questions = ASKED.flatMap((asked) => USERS.map((userId) => ({ ...asked, userId })));
    const told: unknown[] = [];
    for (let at = 0; at < questions.length; at += 100) {
      const some = questions.slice(at, at + 100);
      const { items } = await prompts.batchGetPrompts({ requests: some.map(request) });
      for (const { result } of items) {
        told.push(
          result.case === "response"
            ? shownOfService(result.value)
            : fromItemError(result.value?.code).code,
        );
      }
    }
    const own = questions.map(({ name, ...asked }) => {
      try {
        const { body, labels, tags, resolution, stale } = client.get(name, asked);
        const { id, tier, ...rest } = resolution;
        return { body, labels, tags, stale, ...rest };
      } catch (thrown) {
        return thrown instanceof PromptdError ? thrown.code : thrown;
      }
    });
    // One by one only where they differ: that takes most of the time.
    if (JSON.stringify(sorted(own)) === JSON.stringify(sorted(told))) return;
    for (const [index, question] of questions.entries()) {
      expect(own[index], `step ${step}: ${JSON.stringify(question)}`).toEqual(told[index]);
    }
  }
});

/** With the fields of objects in order. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const fields = Object.entries(value).map(([name, each]) => [name, sorted(each)]);
  return Object.fromEntries(fields.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)));
}

function shownOfService({ prompt, resolution }: GetPromptResponse) {
  if (prompt === undefined || resolution === undefined) throw new Error("incomplete");
  const { id, ...rest } = toTold(resolution);
  const { labels, tags } = prompt;
  return { body: fromBodyFields(prompt), labels, tags, stale: resolution.stale, ...rest };
}
