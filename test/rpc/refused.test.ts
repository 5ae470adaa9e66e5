/** Calls whose refusal could quote what was confided: no output holds it, which `leaks.ts` searches for. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TemplateFormat } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type CompileRequestSchema,
  type CreateVersionRequestSchema,
  PromptService,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import { confided } from "../support/leaks.ts";
import { startService, type TestService } from "../support/service.ts";

const TEXT = "Sing of seven azure herons, ochre and umber";
const VALUE = "a jar of quartz marmalade for Ada, 4417 grams";

let service: TestService;

const text = (value: string) => ({ template: { case: "text", value } }) as const;
const include = (name: string) => `${TEXT} @@@langfusePrompt:name=${name}|label=production@@@`;

beforeAll(async () => {
  service = await startService();
  const create = (name: string, value: string) =>
    service.prompts.createVersion({ name, ...text(value), labels: ["production"] });
  await create("two", `${TEXT} {{a}} {{b}}`);
  await create("section", `{{#a}}${TEXT}{{/a}}`);
  await create("thrice", "{{a}}{{a}}{{a}}");
  await create("outer", include("two"));
  const message = { case: "message", value: { role: "user", content: TEXT } } as const;
  const past = { case: "placeholder", value: { name: "past" } } as const;
  await service.prompts.createVersion({
    name: "chat",
    template: { case: "chat", value: { items: [{ item: message }, { item: past }] } },
    labels: ["production"],
  });
});

afterAll(() => service.close());

/** So many lists around a value. */
function nested(depth: number): unknown {
  return depth === 0 ? VALUE : [nested(depth - 1)];
}

describe.each([
  { transport: "gRPC", prompts: () => service.prompts },
  {
    transport: "Connect in JSON",
    prompts(): Client<typeof PromptService> {
      const baseUrl = `http://127.0.0.1:${service.httpPort}`;
      const options = { baseUrl, httpVersion: "1.1", useBinaryFormat: false } as const;
      return createClient(PromptService, createConnectTransport(options));
    },
  },
])("by $transport", ({ prompts }) => {
  const past = (role: string) => ({ past: { messages: [{ role, content: VALUE }] } });

  it.each<[what: string, request: MessageInitShape<typeof CompileRequestSchema>, code: Code]>([
    ["a missing variable", { name: "two", variables: { a: VALUE } }, Code.InvalidArgument],
    ["a null", { name: "two", variables: { a: VALUE, b: null } }, Code.InvalidArgument],
    ["a section", { name: "section", variables: { a: VALUE } }, Code.InvalidArgument],
    ["a missing placeholder", { name: "chat", variables: { x: VALUE } }, Code.InvalidArgument],
    ["a wrong role", { name: "chat", placeholders: past("") }, Code.InvalidArgument],
    ["a name that is none", { name: "a|b", variables: { a: VALUE } }, Code.InvalidArgument],
    ["no such prompt", { name: "none", placeholders: past("user") }, Code.NotFound],
    [
      "values that are too long",
      { name: "thrice", variables: { a: VALUE.repeat(30_000) } },
      Code.InvalidArgument,
    ],
    [
      "values that are too deep",
      { name: "two", variables: { a: nested(40) as never, b: VALUE } },
      Code.InvalidArgument,
    ],
  ])("Compile refuses %s", async (_, request, code) => {
    await expect(codeOf(prompts().compile(request))).resolves.toBe(code);
  });

  it.each<[what: string, request: MessageInitShape<typeof CreateVersionRequestSchema>, code: Code]>(
    [
      ["a name that is none", { name: "a|b", ...text(TEXT) }, Code.InvalidArgument],
      [
        "what is no variable",
        { name: "f", ...text(`{${TEXT}}`), format: TemplateFormat.FSTRING },
        Code.InvalidArgument,
      ],
      [
        "a brace without its other",
        { name: "f", ...text(`{${TEXT}`), format: TemplateFormat.FSTRING },
        Code.InvalidArgument,
      ],
      [
        "a text that is too long",
        { name: "long", ...text(TEXT.repeat(30_000)) },
        Code.InvalidArgument,
      ],
      ["another type", { name: "chat", ...text(TEXT) }, Code.FailedPrecondition],
      [
        "a version that was not seen",
        { name: "two", ...text(TEXT), expectedLatestVersion: 7 },
        Code.Aborted,
      ],
      ["an inclusion of nothing", { name: "n", ...text(include("none")) }, Code.FailedPrecondition],
      ["an inclusion of a chat", { name: "n", ...text(include("chat")) }, Code.FailedPrecondition],
      [
        "a circle",
        { name: "two", ...text(include("outer")), labels: ["production"] },
        Code.FailedPrecondition,
      ],
    ],
  )("CreateVersion refuses %s", async (_, request, code) => {
    await expect(codeOf(prompts().createVersion(request))).resolves.toBe(code);
  });
});

it("a seed that is no JSON is told of", async () => {
  confided("template", TEXT);
  const folder = await mkdtemp(join(tmpdir(), "promptd-seeds-"));
  await writeFile(join(folder, "bare.json"), TEXT);
  await writeFile(join(folder, "open.json"), `{"template": "${TEXT}`);
  const seeded = await startService({ PROMPTD_SEED_DIR: folder });
  await seeded.close();
  await rm(folder, { recursive: true });
  const told = seeded.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "not seeded");
  expect(told.map(({ file, why }) => [file, why])).toEqual([
    ["bare.json", "not JSON: Unexpected token 'S'"],
    ["open.json", expect.stringMatching(/^not JSON: Unterminated string in JSON at position \d+/)],
  ]);
});

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  return error?.code;
}
