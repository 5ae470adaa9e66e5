import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type BatchItem,
  PromptService,
  type WatchedItem,
  type WatchPromptsRequest,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { Rollout_State } from "../../gen/promptd/v1/rollout_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let controller: AbortController;

beforeAll(async () => {
  service = await startService();
});

afterEach(() => controller.abort());

afterAll(() => service.close());

const TRANSPORTS: Record<string, () => Transport> = {
  gRPC: () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${service.grpcPort}` }),
  Connect: () =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${service.httpPort}`, httpVersion: "1.1" }),
};

function watch(
  client: Client<typeof PromptService>,
  request: Pick<Partial<WatchPromptsRequest>, "afterRevision"> & {
    prompts: { name: string; userId?: string }[];
  },
) {
  controller = new AbortController();
  const { signal } = controller;
  const messages = client.watchPrompts({ ...request, rollouts: true }, { signal });
  const iterator = messages[Symbol.asyncIterator]();
  let revision = 0n;
  const next = async (): Promise<(BatchItem | undefined)[]> => {
    const { value } = await iterator.next();
    revision = value?.event.value?.revision ?? revision;
    if (value?.event.case === "heartbeat") return next();
    const items: readonly (BatchItem | WatchedItem)[] = value?.event.value?.items ?? [];
    return items.map((item) => ("index" in item ? item.item : item));
  };
  return { next, revision: () => revision };
}

const create = (name: string, text: string, labels: string[] = []) =>
  service.prompts.createVersion({ name, template: { case: "text", value: text }, labels });

const to = (name: string, target: number | string, weight: number) => ({
  name,
  weight,
  target:
    typeof target === "number"
      ? { case: "version" as const, value: target }
      : { case: "label" as const, value: target },
});

/** What is told, short. */
function shown(item: BatchItem | undefined) {
  const text = (each: BatchItem | undefined) => {
    const { result } = each ?? {};
    if (result?.case !== "response") return result?.value?.code;
    const { prompt, resolution } = result.value;
    return `${resolution?.arm} v${prompt?.version} ${prompt?.template.value}`;
  };
  const { rollout, buckets = [], arms = [] } = item?.rollout ?? {};
  return {
    control: text(item),
    ...(rollout && {
      state: rollout.state,
      salt: rollout.salt,
      overrides: rollout.overrides.map(({ userId, arm }) => `${userId} ${arm}`),
      buckets: buckets.map(({ start, arm }) => `${start} ${arm}`),
      arms: arms.map(text),
    }),
  };
}

describe.each(Object.keys(TRANSPORTS))("on %s", (name) => {
  const transport = () => createClient(PromptService, (TRANSPORTS[name] as () => Transport)());

  it("tells what splits a label's callers, each time that it becomes another", async () => {
    const prompt = `split-${name}`;
    await create(prompt, "one", ["production"]);
    await create(prompt, "two", ["staging"]);
    await create(prompt, "three");
    const { next } = watch(transport(), { prompts: [{ name: prompt }, { name: "none" }] });
    expect((await next()).map(shown)).toEqual([{ control: " v1 one" }, { control: 5 }]);

    const arms = [to("canary", 3, 500), to("next", "staging", 1000)];
    const overrides = [{ userId: "vip", arm: "canary" }];
    await service.rollouts.setRollout({ name: prompt, definition: { arms, overrides } });
    const split = {
      control: "control v1 one",
      state: Rollout_State.RUNNING,
      salt: prompt,
      overrides: ["vip canary"],
      buckets: ["0 canary", "500 next", "1500 control"],
      arms: ["canary v3 three", "next v2 two"],
    };
    expect((await next()).map(shown)).toEqual([split]);

    // An arm's label moves, and aborts no rollout but its own.
    await service.prompts.setLabels({
      name: prompt,
      moves: [{ label: "staging", version: 1 }],
    });
    const moved = { ...split, arms: ["canary v3 three", "next v1 one"] };
    expect((await next()).map(shown)).toEqual([moved]);

    await service.rollouts.setRollout({ name: prompt, state: Rollout_State.PAUSED });
    expect((await next()).map(shown)).toEqual([{ ...moved, state: Rollout_State.PAUSED }]);

    await service.prompts.deleteVersions({ name: prompt, versions: [3] });
    const gone = { ...moved, state: Rollout_State.PAUSED, arms: [5, "next v1 one"] };
    expect((await next()).map(shown)).toEqual([gone]);

    await service.rollouts.setRollout({ name: prompt, state: Rollout_State.ABORTED });
    expect((await next()).map(shown)).toEqual([{ control: " v1 one" }]);
  });

  it("goes on behind a revision", async () => {
    const prompt = `resumed-${name}`;
    await create(prompt, "one", ["production"]);
    const definition = { arms: [to("canary", 2, 500)] };
    await create(prompt, "two");
    await service.rollouts.setRollout({ name: prompt, definition });
    const first = watch(transport(), { prompts: [{ name: prompt }] });
    await first.next();
    const afterRevision = first.revision();
    controller.abort();
    const same = watch(transport(), { prompts: [{ name: prompt }], afterRevision });
    expect(await same.next()).toEqual([]);
    controller.abort();
    await service.rollouts.setRollout({
      name: prompt,
      definition: { arms: [to("canary", 2, 600)] },
    });
    const behind = watch(transport(), { prompts: [{ name: prompt }], afterRevision });
    expect((await behind.next()).map(shown)).toMatchObject([
      { buckets: ["0 canary", "600 control"] },
    ]);
  });

  it("refuses a user id beside rollouts", async () => {
    const { next } = watch(transport(), { prompts: [{ name: "a" }, { name: "b", userId: "u" }] });
    const error = ConnectError.from(await next().catch((thrown) => thrown));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toContain("prompts[1].user_id");
  });
});

it("tells which arms do not fit into a message beside control", async () => {
  const prompt = "large";
  const texts = ["v", "w", "x", "y", "z"].map((letter) => letter.repeat(1024 * 1024));
  for (const text of texts) await create(prompt, text);
  await service.prompts.setLabels({ name: prompt, moves: [{ label: "production", version: 1 }] });
  const arms = [2, 3, 4, 5].map((version) => to(`v${version}`, version, 1000));
  await service.rollouts.setRollout({ name: prompt, definition: { arms } });
  const client = createClient(PromptService, (TRANSPORTS.gRPC as () => Transport)());
  const { next } = watch(client, { prompts: [{ name: prompt }, { name: "after" }] });
  const [item] = await next();
  expect(shown(item).arms?.map((each) => String(each).slice(0, 6))).toEqual([
    "v2 v2 ",
    "v3 v3 ",
    "8",
    "8",
  ]);
});
