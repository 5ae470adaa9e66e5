import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MissingVariables } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { expectRandomTexts } from "../support/leaks.ts";
import { startService, type TestService } from "../support/service.ts";
import { against } from "./promptd.ts";

/**
 * What real prompts are full of. PROMPTD_TEST_PROMPTS names a folder of `.md`
 * files to take instead.
 */
const PROMPTS: Record<string, string> = {
  "plain.md": "# IDENTITY\n\nYou are an expert.\n\n# INPUT\n\nINPUT:\n",
  "no-final-newline.md": "INPUT:",
  "windows.md": "# One\r\n\r\n- two\r\n",
  "json.md": 'Answer as {"a": {"b": [{"c": "{{c}}"}]}}, {{{{}}}} and {"open": {{\n',
  "code.md":
    "\u0024{a} #{b} <%= c %> {% raw %}{{base64('hello')}}{% endraw %} `$(d)` \\n %s {0} {}\n",
  "nuclei.md":
    '{{BaseURL}}/{{to_lower(rand_base(5))}}?q={{interactsh-url}}\n{{generate_jwt(json, \\"{{alg}}\\")}}\n',
  "vue.md": "<h1 v-if=\"a\">{{ theme.label || 'Appearance' }}</h1>\n---\n---\n",
  "sections.md":
    "{{#items}}{{name}}{{/items}}{{^items}}none{{/items}}{{> header}}{{! no }}{{=<% %>=}}\n",
  "languages.md": "日本語 {{名前}} العربية עברית ру́сский हिन्दी 👩‍👩‍👧‍👦 é é \u200b\u2028\ufeff\n",
  "front-matter.md": '---\ntitle: not ours\n---\n{{role "system"}}\n',
  "byte-order-mark.md": "\ufeff# Title\n",
  "control.md": "\u0000\u0001\u001b[31m\u007f\u0085\n",
  "composition.md": "@@@langfusePrompt:name=@@@ @@@langfusePrompt:version=1|name=x@@@ @@@\n",
  "a-line.md": `${"word {brace} ".repeat(20_000)}\n`,
  "empty.md": "",
};

let service: TestService;
let dir: string;
let originals: Map<string, Buffer>;

beforeAll(async () => {
  service = await startService();
  dir = await mkdtemp(join(tmpdir(), "promptd-round-trip-"));
  const given = process.env.PROMPTD_TEST_PROMPTS;
  if (given) expectRandomTexts();
  else for (const [file, text] of Object.entries(PROMPTS)) await writeFile(join(dir, file), text);
  originals = await markdownOf(given || dir);
  expect(originals.size).toBeGreaterThan(0);
  const cli = against(service.runtime.grpcAddress);
  const imported = await cli(["import", given || dir]);
  expect(imported, imported.out + imported.err).toMatchObject({ code: 0 });
  expect(imported.out).toContain(`created ${originals.size}, unchanged 0, refused 0`);
});

afterAll(async () => {
  await service.close();
  await rm(dir, { recursive: true });
});

async function markdownOf(folder: string): Promise<Map<string, Buffer>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".md"));
  const read = files.map(async (file) => [file, await readFile(join(folder, file))] as const);
  return new Map(await Promise.all(read));
}

describe("every prompt that was imported comes back byte for byte", () => {
  it("through gRPC", async () => {
    for (const [file, bytes] of originals) {
      const { prompt } = await service.prompts.getPrompt({ name: file.slice(0, -3) });
      const { value } = prompt?.template ?? {};
      expect(Buffer.from(value as string).equals(bytes), file).toBe(true);
    }
  });

  it("through Connect's JSON", async () => {
    const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/GetPrompt`;
    const headers = { "content-type": "application/json" };
    for (const [file, bytes] of originals) {
      const body = JSON.stringify({ name: file.slice(0, -3) });
      const answer = await (await fetch(url, { method: "POST", headers, body })).json();
      const { prompt } = answer as { prompt: { text: string } };
      expect(Buffer.from(prompt.text).equals(bytes), file).toBe(true);
    }
  });

  it("through export", async () => {
    const out = join(dir, "exported");
    const { code } = await against(service.runtime.grpcAddress)(["export", out]);
    expect(code).toBe(0);
    const exported = await markdownOf(out);
    expect([...exported.keys()].sort()).toEqual([...originals.keys()].sort());
    for (const [file, bytes] of originals) {
      expect(exported.get(file)?.equals(bytes), file).toBe(true);
    }
  });

  it("through Compile under KEEP", async () => {
    for (const [file, bytes] of originals) {
      const name = file.slice(0, -3);
      const { output } = await service.prompts.compile({
        name,
        missingVariables: MissingVariables.KEEP,
      });
      expect(Buffer.from(output.value as string).equals(bytes), file).toBe(true);
    }
  });
});
