import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { vi } from "vitest";
import { MissingVariables, PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import {
  type Resolution as ClientResolution,
  createPromptdClient,
  type Prompt,
} from "../../packages/client/src/index.ts";
import { fromItemError } from "../../src/client/service.ts";
import type { Compiled } from "../../src/core/template/compile.ts";
import { fromBodyFields, fromValue } from "../../src/rpc/convert.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Answered, resolutionContract, type Subject, type Told } from "./contract.ts";
import { request, toTold } from "./wire.ts";

resolutionContract("over gRPC", () =>
  overTheWire(({ grpcPort }) => createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` })),
);

resolutionContract("over Connect", () =>
  overTheWire(({ httpPort }) =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${httpPort}`, httpVersion: "1.1" }),
  ),
);

resolutionContract("of a client's memory", ofMemory);

async function overTheWire(transport: (service: TestService) => Transport): Promise<Subject> {
  const service = await startService();
  const prompts = createClient(PromptService, transport(service));
  return {
    service,
    get: (asking) =>
      translated(async () => {
        const { prompt, resolution } = await prompts.getPrompt(request(asking));
        if (prompt === undefined || resolution === undefined) throw new Error("incomplete");
        const { labels, tags } = prompt;
        const { stale } = resolution;
        return {
          body: fromBodyFields(prompt),
          labels,
          tags,
          stale,
          resolution: toTold(resolution),
        };
      }),
    compile: ({ variables = {}, placeholders = {}, missing = "strict", ...asking }) =>
      translated(async () => {
        const { output, config, resolution } = await prompts.compile({
          ...request(asking),
          variables,
          placeholders: Object.fromEntries(
            Object.entries(placeholders).map(([name, messages]) => [name, { messages }]),
          ),
          missingVariables: MISSING[missing],
        });
        if (config === undefined || resolution === undefined) throw new Error("incomplete");
        const compiled: Compiled =
          output.case === "chat"
            ? { type: "chat", messages: output.value.messages }
            : { type: "text", text: output.value ?? "" };
        return {
          output: compiled,
          config: fromValue(config, "config"),
          resolution: toTold(resolution),
        };
      }),
    settled: async () => {},
    close: () => service.close(),
  };
}

const MISSING = {
  strict: MissingVariables.STRICT,
  keep: MissingVariables.KEEP,
  empty: MissingVariables.EMPTY,
};

async function translated<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (thrown) {
    const { code, rawMessage } = ConnectError.from(thrown);
    throw fromItemError(code, rawMessage);
  }
}

/** What tells that the client has heard of all that was done before. */
const LAST = "last";

async function ofMemory(): Promise<Subject> {
  const service = await startService();
  const client = createPromptdClient({ address: service.runtime.grpcAddress, prompts: [LAST] });
  let settled = 0;
  return {
    service,
    async get({ name, ...asking }) {
      return toAnswered(await client.load(name, asking));
    },
    async compile({ name, variables = {}, placeholders = {}, missing = "strict", ...asking }) {
      await client.load(name, asking);
      const filling = { variables, placeholders, missing };
      const compiled = client.compile(name, { ...asking, ...filling });
      const { type, text = "", messages = [], config, resolution } = compiled;
      const output: Compiled = type === "text" ? { type, text } : { type, messages };
      return { output, config, resolution: toClientTold(resolution) };
    },
    // One stream tells of all that the client watches, in order.
    async settled() {
      const value = `${++settled}`;
      const template = { case: "text", value } as const;
      await service.prompts.createVersion({ name: LAST, template, labels: ["production"] });
      await vi.waitFor(() => {
        if (client.get(LAST).body.template !== value) throw new Error("not told yet");
      });
    },
    async close() {
      await client.close();
      await service.close();
    },
  };
}

function toAnswered({ body, labels, tags, stale, resolution }: Prompt): Answered {
  return { body, labels, tags, stale, resolution: toClientTold(resolution) };
}

function toClientTold(resolution: ClientResolution): Told {
  return { ...resolution, components: [...resolution.components] };
}
