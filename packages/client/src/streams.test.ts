import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  type WatchPromptsRequestSchema,
  WatchPromptsResponseSchema,
} from "../../../gen/promptd/v1/prompt_service_pb.ts";
import type { Service } from "../../../src/client/service.ts";
import { Choices } from "../../../src/core/choice.ts";
import { PromptdError } from "../../../src/core/errors.ts";
import { Streams } from "./streams.ts";
import { WatchedPrompt } from "./watched-prompt.ts";

type Message = MessageInitShape<typeof WatchPromptsResponseSchema>;

/** A stream as the service serves it. */
interface Served {
  names: string[];
  after: bigint | undefined;
  say(message: Message): Promise<void>;
  fail(error: PromptdError): Promise<void>;
  ended: boolean;
}

let served: Served[];
let faults: string[];
let streams: Streams;

beforeEach(() => {
  vi.useFakeTimers();
  served = [];
  faults = [];
  streams = new Streams({
    connect: async () => ({ prompts: { watchPrompts } }) as unknown as Service,
    onTold() {},
    onFault: ({ code }) => faults.push(code),
  });
});

afterEach(() => {
  streams.close();
  vi.useRealTimers();
});

async function* watchPrompts(
  request: Extract<MessageInitShape<typeof WatchPromptsRequestSchema>, { $typeName?: never }>,
  { signal }: { signal: AbortSignal },
) {
  let wake = () => {};
  let failure: PromptdError | undefined;
  const messages: Message[] = [];
  const settle = () => vi.advanceTimersByTimeAsync(0);
  const stream: Served = {
    names: (request.prompts ?? []).map(({ name = "" }) => name),
    after: request.afterRevision,
    ended: false,
    say(message) {
      messages.push(message);
      wake();
      return settle().then(() => {});
    },
    fail(error) {
      failure = error;
      wake();
      return settle().then(() => {});
    },
  };
  served.push(stream);
  signal.addEventListener("abort", () => stream.fail(new PromptdError("canceled", "ended")));
  try {
    for (;;) {
      if (failure !== undefined) throw failure;
      const message = messages.shift();
      if (message !== undefined) yield create(WatchPromptsResponseSchema, message);
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stream.ended = true;
  }
}

function add(name: string): WatchedPrompt {
  const watched = new WatchedPrompt(name, { label: "production" }, new Choices());
  streams.add(watched);
  return watched;
}

const snapshot = (revision: bigint, count = 1): Message => ({
  event: {
    case: "snapshot",
    value: {
      revision,
      items: Array.from({ length: count }, () => ({
        result: { case: "error", value: { code: 5, message: "there is none" } },
      })),
    },
  },
});

const heartbeat = (revision: bigint, stale = false): Message => ({
  event: { case: "heartbeat", value: { revision, stale } },
});

const gone = () => new PromptdError("unavailable", "gone");

const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

const last = () => served.at(-1) as Served;

it("goes on behind what it has heard, after pauses that grow", async () => {
  add("a");
  await settle();
  await last().say(snapshot(3n));
  await last().say(heartbeat(5n));
  await last().fail(gone());
  const began: number[] = [];
  for (let attempt = 1; attempt <= 8; attempt++) {
    const before = performance.now();
    while (served.length === attempt) await settle(50);
    began.push(performance.now() - before);
    expect(last().after).toBe(5n);
    await last().fail(gone());
  }
  expect(began[0]).toBeLessThan(500);
  expect(Math.max(...began)).toBeLessThanOrEqual(15_050);
  expect(began[7]).toBeGreaterThan(4000);
  while (served.length === 9) await settle(50);
  await last().say({ event: { case: "update", value: { revision: 5n, items: [] } } });
  await last().fail(gone());
  while (served.length === 10) await settle(50);
  expect(faults).toHaveLength(10);
});

it("begins anew where it has not heard all of a snapshot", async () => {
  add("a");
  await settle();
  await last().say(snapshot(3n));
  await last().say(snapshot(0n));
  await last().fail(gone());
  await settle(500);
  expect(last().after).toBeUndefined();
});

it("is stale while it is silent, the service is in doubt, or there is none", async () => {
  const watched = add("a");
  await settle();
  expect(watched.stale).toBe(true);
  await last().say(snapshot(1n));
  expect(watched.stale).toBe(false);
  await settle(10_000);
  expect([watched.stale, watched.ageMs]).toEqual([false, 10_000]);
  await last().say(heartbeat(1n));
  expect([watched.stale, watched.ageMs]).toEqual([false, 0]);
  await settle(15_001);
  expect([watched.stale, watched.ageMs]).toEqual([true, 15_001]);
  await last().say(heartbeat(1n, true));
  expect([watched.stale, watched.ageMs]).toEqual([true, 15_001]);
  await last().say(heartbeat(1n));
  expect(watched.stale).toBe(false);
  await last().fail(gone());
  expect(watched.stale).toBe(true);
});

it("begins anew where the service says nothing any more", async () => {
  add("a");
  await settle();
  await last().say(snapshot(1n));
  await settle(31_000);
  expect(faults).toEqual(["deadline"]);
  expect(served.map(({ ended }) => ended)).toEqual([true, false]);
  expect(last()).toMatchObject({ after: 1n, names: ["a"] });
});

it("watches what is added beside the others, who are told of meanwhile", async () => {
  const [a, b] = [add("a"), add("b")];
  await settle();
  expect(served.map(({ names }) => names)).toEqual([["a", "b"]]);
  await last().say(snapshot(1n, 2));
  const c = add("c");
  await settle();
  expect(served.map(({ names, ended }) => [names, ended])).toEqual([
    [["a", "b"], false],
    [["a", "b", "c"], false],
  ]);
  expect([a.stale, b.stale, c.stale]).toEqual([false, false, true]);
  await last().say(snapshot(2n, 3));
  expect(served.map(({ ended }) => ended)).toEqual([true, false]);
  expect([a.stale, b.stale, c.stale]).toEqual([false, false, false]);
});

it("keeps one stream up however often more is added before the next is", async () => {
  const a = add("a");
  await settle();
  await last().say(snapshot(1n));
  for (const name of ["b", "c", "d"]) {
    add(name);
    await settle();
  }
  const open = () => served.filter(({ ended }) => !ended).map(({ names }) => names.join(""));
  expect(open()).toEqual(["a", "abcd"]);
  expect(a.stale).toBe(false);
  await last().say(snapshot(2n, 4));
  expect(open()).toEqual(["abcd"]);
});

it("has no more streams than it needs for what is added while there is no service", async () => {
  for (const name of ["a", "b", "c"]) {
    add(name);
    await settle();
    await last().fail(gone());
  }
  await settle(1000);
  expect(served.filter(({ ended }) => !ended).map(({ names }) => names)).toEqual([["a", "b", "c"]]);
});

it("finds which of them the key is not for", async () => {
  const all = ["a", "b", "c", "d"].map(add);
  for (let rounds = 0; rounds < 20; rounds++) {
    await settle();
    for (const stream of served.filter(({ ended }) => !ended)) {
      if (stream.names.includes("c")) await stream.fail(new PromptdError("forbidden", "not c"));
      else await stream.say(snapshot(1n, stream.names.length));
    }
  }
  expect(all.map(({ error }) => error?.code)).toEqual([
    "not_found",
    "not_found",
    "forbidden",
    "not_found",
  ]);
  expect(all.map(({ stale }) => stale)).toEqual([false, false, true, false]);
});

it("loses none of them where a stream that has replaced another is refused later", async () => {
  const a = add("a");
  await settle();
  await last().say(snapshot(1n));
  const b = add("b");
  await settle();
  await last().say(snapshot(2n, 2));
  await last().fail(new PromptdError("forbidden", "not b any more"));
  await settle();
  const open = served.filter(({ ended }) => !ended).map(({ names }) => names.join(""));
  expect(open).toEqual(["a", "b"]);
  for (const stream of served.slice(-2)) await stream.say(snapshot(3n));
  expect([a.stale, b.stale]).toEqual([false, false]);
});

it("leaves nothing running once it is closed", async () => {
  add("a");
  await settle();
  await last().say(snapshot(1n));
  add("b");
  await settle();
  streams.close();
  await settle(60_000);
  expect(served.map(({ ended }) => ended)).toEqual([true, true]);
});
