import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";
import { against, promptd } from "./promptd.ts";

let service: TestService;
let dir: string;
let cli: ReturnType<typeof against>;

beforeAll(async () => {
  service = await startService();
  dir = await mkdtemp(join(tmpdir(), "promptd-cli-"));
  cli = against(service.runtime.grpcAddress);
});

afterAll(async () => {
  await service.close();
  await rm(dir, { recursive: true });
});

async function file(name: string, content: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content);
  return path;
}

const CHAT = [
  "---",
  "type: chat",
  "config: {temperature: 0.5}",
  "labels: [staging]",
  "tags: [support]",
  "commit_message: first",
  "---",
  '{{role "system"}}',
  "You help {{name}}.",
  '{{placeholder "history"}}',
  '{{role "user"}}',
  "{{question}}",
  "",
].join("\n");

describe("create and get", () => {
  it("keeps a text byte for byte", async () => {
    const template = "\ufeffHi {{name}},\r\n\n  <b>&amp;</b> 日本 \u0000";
    const created = await cli("create exact - --label production", { stdin: template });
    expect(created).toEqual({ code: 0, out: "exact version 1 created\n", err: "" });
    expect(await cli("get exact")).toEqual({ code: 0, out: template, err: "" });
  });

  it("tells a person where the template is from", async () => {
    await cli("create told - --label production --format fstring", { stdin: "Hi {name}" });
    const { out, err } = await cli("get told", { watched: true });
    expect(out).toBe("Hi {name}");
    expect(err).toMatch(
      /^\ntold version 1 \(latest, production\), fstring, revision \d+, content [0-9a-f]{12}\n$/,
    );
  });

  it("reads a chat from a file, and prints it under its roles", async () => {
    const path = await file("chat.prompt", CHAT);
    await cli(["create", "chat", path]);
    const { out } = await cli("get chat --label staging");
    expect(out).toBe(
      "[system]\nYou help {{name}}.\n\n[placeholder history]\n\n[user]\n{{question}}\n",
    );
    const { prompt, resolution } = JSON.parse((await cli("get chat --version 1 --json")).out);
    expect(prompt).toMatchObject({
      name: "chat",
      version: 1,
      chat: { items: [{ message: { role: "system" } }, { placeholder: {} }, { message: {} }] },
      format: "TEMPLATE_FORMAT_MUSTACHE",
      config: { temperature: 0.5 },
      labels: ["latest", "staging"],
      tags: ["support"],
      commitMessage: "first",
    });
    expect(resolution).toMatchObject({ version: 1, label: "", reason: "REASON_VERSION" });
  });

  it("lets options win over the file", async () => {
    const path = await file("wins.prompt", CHAT.replace("chat\n", "text\n"));
    const config = await file("config.json", '{"top_p": 1}');
    const options = `--chat --label a --label b --tag t --message second --config ${config}`;
    const { code } = await cli(["create", "wins", path, ...options.split(" ")]);
    expect(code).toBe(0);
    const { prompt } = JSON.parse((await cli("get wins --label a --json")).out);
    expect(prompt).toMatchObject({
      chat: { items: [{}, {}, {}] },
      config: { top_p: 1 },
      labels: ["a", "b", "latest"],
      tags: ["t"],
      commitMessage: "second",
    });
  });

  it("creates nothing where nothing differs, and heeds the version that is expected", async () => {
    await cli("create again -", { stdin: "one" });
    const again = await cli("create again - --label production", { stdin: "one" });
    expect(again.out).toBe("again version 1 has this content already; nothing was created\n");
    const stale = await cli("create again - --expected-latest 0", { stdin: "two" });
    expect(stale).toMatchObject({ code: 4, out: "" });
    const next = await cli("create again - --expected-latest 1 --json", { stdin: "two" });
    expect(JSON.parse(next.out)).toMatchObject({ version: 2, created: true, previous: [] });
  });

  it("says which file, and where in it, is wrong", async () => {
    const broken = await file("broken.prompt", "---\nmodel: x\n---\n");
    expect(await cli(["create", "broken", broken])).toEqual({
      code: 1,
      out: "",
      err: `promptd: ${broken}: line 2: unknown key "model": put it under config\n`,
    });
    const nowhere = join(dir, "nowhere.md");
    const { err } = await cli(["create", "broken", nowhere]);
    expect(err).toBe(`promptd: ${nowhere}: it does not exist\n`);
  });
});

describe("compile", () => {
  it("fills in variables: text, JSON and from files", async () => {
    await cli("create fill - --label production", { stdin: "{{a}} {{b}} {{c}} {{d}}" });
    const vars = await file("vars.json", '{"a": "file", "b": [1, 2], "c": "file"}');
    const line = `compile fill --vars ${vars} --var a=x=y --var-json c={"k":1.0} --var d=`;
    expect(await cli(line)).toEqual({ code: 0, out: 'x=y [1,2] {"k":1} ', err: "" });
  });

  it("names what is missing, or does as it is told", async () => {
    await cli("create strict - --label production", { stdin: "{{a}} and {{b}}" });
    const strict = await cli("compile strict");
    expect(strict.code).toBe(1);
    expect(strict.err).toMatch(/^promptd: .*a[\s\S]*b/);
    expect((await cli("compile strict --var a=1 --missing keep")).out).toBe("1 and {{b}}");
    expect((await cli("compile strict --var a=1 --missing empty")).out).toBe("1 and ");
  });

  it("puts messages in for placeholders", async () => {
    const path = await file("chat.prompt", CHAT);
    await cli(["create", "talk", path, "--label", "production"]);
    const history = await file("history.json", '[{"role": "assistant", "content": "{{name}}?"}]');
    const args = ["--var", "name=Ada", "--var", "question=Why?"];
    const placeholder = ["--placeholder", `history=${history}`];
    const { out } = await cli(["compile", "talk", ...args, ...placeholder]);
    expect(out).toBe("[system]\nYou help Ada.\n\n[assistant]\n{{name}}?\n\n[user]\nWhy?\n");
    const json = await cli(["compile", "talk", ...args, ...placeholder, "--json"]);
    expect(JSON.parse(json.out)).toMatchObject({
      chat: { messages: [{}, { role: "assistant", content: "{{name}}?" }, {}] },
      config: { temperature: 0.5 },
    });
    const wrong = await file("wrong.json", '[{"role": "user"}]');
    const { code, err } = await cli(["compile", "talk", "--placeholder", `history=${wrong}`]);
    expect(code).toBe(1);
    expect(err).toContain(`promptd: ${wrong}: `);
  });
});

describe("lists", () => {
  it("page through everything, unless there is a limit", async () => {
    for (let version = 1; version <= 205; version++) {
      await service.prompts.createVersion({
        name: "many/versions",
        template: { case: "text", value: `text ${version}` },
        labels: version === 205 ? ["production"] : [],
        commitMessage: `change\n${version}`,
      });
    }
    const { versions } = JSON.parse((await cli("versions many/versions --json")).out);
    expect(versions.map(({ version }: { version: number }) => version)).toEqual(
      Array.from({ length: 205 }, (_, index) => 205 - index),
    );
    const table = (await cli("versions many/versions --limit 2")).out.split("\n");
    expect(table[0]).toMatch(/^VERSION {2}LABELS +CALLS {2}CREATED +AUTHOR +MESSAGE$/);
    expect(table[1]).toMatch(
      /^205 {6}latest production {2}0 {6}\d{4}-\d\d-\d\dT[\d:]+Z {2}anonymous {2}change 205$/,
    );
    expect(table).toHaveLength(4);

    const listed = await cli("list --folder many --label production");
    expect(listed.out).toMatch(
      /^NAME +TYPE {2}LATEST {2}LABELS +TAGS {2}UPDATED\nmany\/versions {2}text {2}205 +production=205 +2\S+Z\n$/,
    );
    const { prompts } = JSON.parse((await cli("list --tag nobody --json")).out);
    expect(prompts).toEqual([]);

    const history = await cli("changes many/versions --limit 1");
    expect(history.out).toMatch(
      /many\/versions {2}created 205; production \(none\) -> 205 {2}anonymous/,
    );
    const { changes } = JSON.parse((await cli("changes many/versions --limit 203 --json")).out);
    expect(changes).toHaveLength(203);
    const after = changes[1].revision;
    const newest = JSON.parse((await cli(`changes --after ${after} --json`)).out).changes;
    expect(newest.map(({ revision }: { revision: string }) => revision)).toEqual([
      changes[0].revision,
    ]);
  });
});

describe("exit codes", () => {
  it.each([
    ["get nowhere", 3, 'promptd: prompt "nowhere" does not exist\n'],
    ["versions nowhere", 3, 'promptd: prompt "nowhere" does not exist\n'],
    ["get a|b", 1, "promptd: name: must not hold |\n"],
    [
      "label set a|b L=1",
      1,
      "promptd: 2 things are wrong\n  name: must not hold |\n  moves[0].label: ",
    ],
    ["get", 2, "promptd: missing required argument 'name'\n"],
    ["get a --version 5000000000", 2, "1 or more, 4294967295 at most"],
    ["get a --address localhost:99999", 2, "expected HOST:PORT"],
    ["label set a L", 2, "expected LABEL=VERSION"],
    ["label set a L=0", 2, "label remove takes a label off"],
    ["get a --version 0", 2, "expected a whole number, 1 or more"],
    ["get a --version 1 --label b", 2, "cannot be used with"],
    ["get a --nothing", 2, "promptd: unknown option '--nothing'"],
    ["compile a --var b", 2, "promptd: --var: expected KEY=VALUE\n"],
    ["compile a --var-json b={", 2, "promptd: --var-json: expected JSON behind b=; --var takes"],
    ["list --timeout soon", 2, "expected a duration"],
    ["list --address nowhere", 2, "expected HOST:PORT or a URL"],
    ["nothing", 2, "promptd: unknown command 'nothing'"],
    ["", 2, ""],
    ["get a --address 127.0.0.1:1", 5, "promptd: no promptd at 127.0.0.1:1 ("],
  ])("promptd %s", async (line, code, message) => {
    const ended = await cli(line === "" ? [] : line);
    expect(ended.err).toContain(message);
    expect(ended).toMatchObject({ code, out: "" });
    expect(ended.err).not.toContain("    at ");
  });

  it("answers with 5 where the service is too slow", async () => {
    const silent = createServer();
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const { port } = silent.address() as AddressInfo;
    const { code, err } = await cli(`get a --address http://127.0.0.1:${port} --timeout 100ms`);
    expect(err).toBe(`promptd: no answer from http://127.0.0.1:${port} in time; see --timeout\n`);
    expect(code).toBe(5);
    silent.close();
  });

  it("checks the environment as it checks the command line", async () => {
    const { code, err } = await promptd(["list"], { env: { PROMPTD_ADDRESS: "x" } });
    expect(err).toContain("promptd: PROMPTD_ADDRESS: expected HOST:PORT or a URL");
    expect(code).toBe(2);
  });

  it("answers with 0 for help and version", async () => {
    expect(await cli("--version")).toMatchObject({ code: 0, out: expect.stringMatching(/^\d/) });
    expect(await cli("label undo --help")).toMatchObject({ code: 0, err: "" });
  });
});
