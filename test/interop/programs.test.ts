import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { type Collector, startCollector } from "../trace/collector.ts";
import { linesOf, missing, PROGRAMS } from "./programs.ts";

/** Tools fetch what they build with, on a machine that may be busy. */
const TIMEOUT_MS = 600_000;

type Line = Record<string, unknown>;

/** What every program prints at each step; all create the same versions. */
const STEPS: Record<string, (name: string) => Line[]> = {
  create: () => [{ versions: [1, 2] }],
  get: () => [
    {
      version: 1,
      label: "production",
      reason: "REASON_LABEL",
      content_hash: "810ec3535c1935685947efb4ff8b606db52f29571f7c861e397a1285e4f9f55a",
    },
  ],
  compile: () => [
    {
      messages: [
        { role: "system", content: "You help people who use Acme." },
        { role: "user", content: "Hello" },
        { role: "assistant", content: "How can I help?" },
        { role: "user", content: "Where is my order?" },
      ],
    },
  ],
  watch: () => [
    { event: "snapshot", version: 1 },
    { event: "update", version: 2 },
    { event: "update", version: 1 },
  ],
  label: () => [{ previous: [{ label: "production", version: 1 }] }],
  undo: () => [{}],
  trace: (name) => [
    {
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      trace_attributes: {
        "langfuse.observation.type": "generation",
        "langfuse.observation.prompt.name": name,
        "langfuse.observation.prompt.version": "1",
        "gen_ai.prompt.name": name,
        "gen_ai.prompt.version": "1",
        "promptd.label": "production",
      },
    },
  ],
  not_found: (name) => [
    {
      code: Code.NotFound,
      message: `prompt "${name}" has no label "nowhere"; it has latest, production`,
    },
  ],
  invalid_argument: () => [
    {
      code: Code.InvalidArgument,
      message: expect.stringContaining("variables.product: the template needs a value"),
      violations: [
        { field: "variables.product", description: "the template needs a value" },
        { field: "variables.question", description: "the template needs a value" },
        {
          field: "placeholders.history",
          description: "the template needs a list of messages, which may be empty",
        },
      ],
    },
  ],
  unavailable: () => [{ code: Code.Unavailable, text: "You help people." }],
};

/** grpcurl is here to see that it knows the contract without a file of it. */
const STEPS_OF_GRPCURL = ["create", "get", "compile", "not_found", "invalid_argument"];

const programs = PROGRAMS.map((program) => {
  const lacks = missing(program);
  if (lacks && process.env.CI === "true") throw new Error(`${program.language} needs ${lacks}`);
  return { ...program, lacks, skipped: lacks ? ` (skipped: needs ${lacks})` : "" };
});

/** The lines of each program, all of which run at the same time. */
const printed = new Map<string, Promise<Line[]>>();
let service: TestService;
let collector: Collector;

beforeAll(async () => {
  collector = await startCollector();
  service = await startService({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    PROMPTD_TRACE_SAMPLING: "0",
  });
  const keys = createClient(
    KeyService,
    createGrpcTransport({ baseUrl: `http://${service.runtime.grpcAddress}` }),
  );
  const { secret } = await keys.createKey({
    name: "examples",
    scopes: [Scope.READ, Scope.WRITE, Scope.RELEASE],
    promptPatterns: ["examples/*"],
  });
  for (const program of programs.filter(({ lacks }) => !lacks)) {
    const port = program.port === "gRPC" ? service.grpcPort : service.httpPort;
    const lines = linesOf(program, {
      PROMPTD_ADDRESS: `127.0.0.1:${port}`,
      PROMPTD_API_KEY: secret,
    });
    // Its own tests tell of it.
    lines.catch(() => undefined);
    printed.set(program.name, lines);
  }
});

afterAll(async () => {
  await Promise.allSettled(printed.values());
  await service.close();
  await collector.close();
}, TIMEOUT_MS);

describe.each(programs)("from $language", ({ language, name, lacks, skipped }) => {
  const steps = language === "grpcurl" ? STEPS_OF_GRPCURL : Object.keys(STEPS);

  it.skipIf(lacks).each(steps)(
    `%s is as in every language${skipped}`,
    async (step) => {
      expect(await linesAt(step, name)).toEqual(STEPS[step]?.(name));
    },
    TIMEOUT_MS,
  );

  if (!steps.includes("trace")) return;
  it.skipIf(lacks)(
    `the answer joins the caller's trace${skipped}`,
    async () => {
      const [line] = await linesAt("trace", name);
      const { attributes } = await spanOf(String(line?.trace_id));
      expect(attributes["gen_ai.prompt.name"]).toBe(name);
    },
    TIMEOUT_MS,
  );
});

const grpcurl = programs.find(({ language }) => language === "grpcurl");

it.skipIf(grpcurl?.lacks)(
  `grpcurl finds all services${grpcurl?.skipped}`,
  async () => {
    const [line] = await linesAt("services", "examples/grpcurl");
    expect(line?.services).toContain("promptd.v1.PromptService");
  },
  TIMEOUT_MS,
);

/** What the program printed at a step, with the code as gRPC's number however its language writes it. */
async function linesAt(step: string, name: string): Promise<Line[]> {
  const lines = (await printed.get(name)) ?? [];
  return lines
    .filter((line) => line.step === step)
    .map(({ step, ...line }) => ("code" in line ? { ...line, code: numberOf(line.code) } : line));
}

/** Of NOT_FOUND, NotFound, not_found and 5: 5. */
function numberOf(code: unknown): unknown {
  const plain = (text: unknown) => String(text).replaceAll("_", "").toLowerCase();
  const names = Object.keys(Code).filter((key) => Number.isNaN(Number(key)));
  const name = names.find((name) => plain(name) === plain(code));
  return name ? Code[name as keyof typeof Code] : code;
}

async function spanOf(traceId: string) {
  for (let count = 1; ; count += 1) {
    const spans = await collector.received(count);
    const span = spans.find((span) => span.traceId === traceId);
    if (span) return span;
  }
}
