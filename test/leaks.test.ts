import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { newSecret } from "../src/core/keys.ts";
import { promptd } from "./cli/promptd.ts";
import { confided, findLeaks, said } from "./support/leaks.ts";
import { spawnService } from "./support/process.ts";
import { startService } from "./support/service.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "promptd-leaks-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

const newDataDir = () => mkdtempSync(join(folder, "data-"));

/** What has leaked, and where. */
async function leaks(): Promise<string[]> {
  const found = await findLeaks();
  return [...new Set(found.map(({ kind, output }) => `${kind} in ${output}`))].sort();
}

// Names may be told everywhere, so that what is confided and is a name too leaks.

describe.each([
  { where: "in this process", start: startService },
  {
    where: "in a process of its own",
    async start() {
      const dataDir = newDataDir();
      const service = await spawnService({ PROMPTD_DATA_DIR: dataDir });
      return { ...service, dataDir, close: service.stop };
    },
  },
])("of a service $where", ({ start }) => {
  it.each([
    { kind: "template", name: "cobalt-kestrel" },
    { kind: "value", name: "umber-lantern" },
    { kind: "secret", name: "ochre-bramble" },
  ])("what it tells of a $kind is found", async ({ kind, name }) => {
    const { prompts, dataDir, close } = await start();
    await promptd(["projects", "create", name, "--data-dir", dataDir]);
    const headers = { "x-promptd-project": name, ...(kind === "secret" && { "x-api-key": name }) };
    const template = { case: "text", value: kind === "template" ? name : "{{x}}" } as const;
    await prompts.createVersion({ name: "p", template }, { headers });
    const variables = kind === "value" ? { x: name } : {};
    await expect(prompts.compile({ name, variables })).rejects.toThrow(name);
    await close();
    expect(await leaks()).toEqual([`${kind} in error`, `${kind} in log`, `${kind} in metrics`]);
    expect(await leaks()).toEqual([]);
  });
});

describe("of errors, those are searched", () => {
  const text = "indigo-thimble";
  confided("value", text);

  it.each([
    {
      which: "of an item in a batch",
      call: async ({ prompts }) => {
        await prompts.batchGetPrompts({ requests: [{ name: text }] });
      },
    },
    {
      which: "of gRPC, where no method of ours was called",
      call: async ({ grpcPort }) => {
        const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` });
        const check = createClient(Health, transport).check({ service: text });
        await expect(check).rejects.toThrow(text);
      },
    },
    {
      which: "of HTTP, where the request was not read",
      call: async ({ httpPort }) => {
        const url = `http://127.0.0.1:${httpPort}/promptd.v1.PromptService/GetPrompt`;
        const headers = { "content-type": "application/json" };
        const body = JSON.stringify({ [text]: 1 });
        const response = await fetch(url, { method: "POST", headers, body });
        expect(await response.text()).toContain(text);
      },
    },
  ] satisfies { which: string; call: (service: Service) => Promise<void> }[])(
    "$which",
    async ({ call }) => {
      const service = await startService();
      await call(service);
      await service.close();
      expect(await leaks()).toEqual(["value in error"]);
    },
  );
});

type Service = Awaited<ReturnType<typeof startService>>;

describe("of what is printed, that is searched", () => {
  it("which a service prints", async () => {
    const secret = newSecret();
    const print = `console.log("${secret}");process.stderr.write("${secret}\\n")`;
    const { stop } = await spawnService({
      PROMPTD_DATA_DIR: newDataDir(),
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(print)}`,
    });
    await stop();
    expect(await leaks()).toEqual(["secret in log", "secret in standard output"]);
  });

  it("which a command says went wrong", async () => {
    await promptd(["compile", "p", "--missing", "mauve-cistern", "--var", "x=mauve-cistern"]);
    expect(await leaks()).toEqual(["value in standard error"]);
  });

  it("which goes to the console", async () => {
    console.error(newSecret());
    expect(await leaks()).toEqual(["secret in console"]);
  });
});

describe("a text is found", () => {
  const text = 'Sing of "seven" azure herons\n\tand an ochre \\ bramble';

  it.each([
    ["as it is", text],
    ["in JSON", JSON.stringify({ reason: text })],
    ["in JSON in JSON", JSON.stringify(JSON.stringify({ reason: text }))],
    ["cut off", text.slice(0, 20)],
    ["in a part", text.slice(15, 45)],
  ])("%s", async (_, told) => {
    confided("template", text);
    said("console", told);
    expect(await leaks()).toEqual(["template in console"]);
  });
});

it.each([newSecret(), "postgres://promptd:s3cret@db/promptd", "-----BEGIN EC PRIVATE KEY-----"])(
  "a secret is known by its form: %s",
  async (secret) => {
    said("console", JSON.stringify({ reason: `cannot use ${secret}` }));
    expect(await leaks()).toEqual(["secret in console"]);
  },
);

it("the tags of a template are no secret, the text between them is", async () => {
  confided("template", "{{#customers}}a silver harbour{{/customers}}");
  said("console", "the section {{#customers}} is refused; customers is missing");
  expect(await leaks()).toEqual([]);
  said("console", "{{#customers}}a silver harbour");
  expect(await leaks()).toEqual(["template in console"]);
});
