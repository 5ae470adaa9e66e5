import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";
import { against } from "./promptd.ts";

let service: TestService;
let cli: ReturnType<typeof against>;
let dir: string;

beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  dir = await mkdtemp(join(tmpdir(), "promptd-folders-"));
});

afterEach(async () => {
  await service.close();
  await rm(dir, { recursive: true });
});

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}

/** The line that counts. */
function summaryOf({ out }: { out: string }): string | undefined {
  return out.trimEnd().split("\n").at(-1);
}

/** Every file below a folder, by path. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
  const pairs = paths.map(async (path) => [
    path.slice(folder.length + 1),
    await readFile(path, "latin1"),
  ]);
  return Object.fromEntries(await Promise.all(pairs));
}

describe("import", () => {
  it("creates what differs, refuses what is broken, and is safe to repeat", async () => {
    await put({
      "good.md": "Hi {{name}}",
      "folder/staged.prompt": "---\nlabels: [staging]\n---\nHi",
      "bad.json": "[",
      "binary.md": new Uint8Array([0x41, 0xff]),
      "bad|name.md": "Hi",
      "template.prompt": "---\nformat: fstring\n---\n{broken",
      "notes.yaml": "",
    });
    const first = await cli(["import", dir]);
    expect(first.out).toMatch(/\ncreated 2, unchanged 0, refused 4, ignored 1\n$/);
    expect(first.out).toMatch(/\ncreated +good\.md +version 1\n/);
    expect(first.out).toMatch(/\nrefused +bad\.json +not JSON: /);
    expect(first.out).toContain("byte 1 is not UTF-8 (0xff)");
    expect(first.out).toMatch(/bad\|name\.md +name: must not hold \|/);
    expect(first.err).toBe("promptd: 4 of 6 files refused\n");
    expect(first.code).toBe(1);
    expect((await cli("get good")).out).toBe("Hi {{name}}");
    expect((await cli("get folder/staged --label staging")).out).toBe("Hi");

    const again = await cli(["import", dir, "--json"]);
    expect(again).toMatchObject({ code: 1, err: "promptd: 4 of 6 files refused\n" });
    const { files, ignored } = JSON.parse(again.out);
    expect(files).toContainEqual({
      path: "good.md",
      name: "good",
      outcome: "unchanged",
      version: 1,
    });
    expect(ignored).toEqual([{ path: "notes.yaml", why: expect.any(String) }]);
  });

  it("leaves labels of what did not change, and labels what did as it is told", async () => {
    await put({ "a.md": "one", "b.md": "one" });
    await cli(["import", dir, "--no-label"]);
    expect(await cli("get a")).toMatchObject({ code: 3 });
    await put({ "b.md": "two" });
    const { out } = await cli(["import", dir, "--label", "x", "--label", "y"], { watched: true });
    expect(summaryOf({ out })).toBe("created 1, unchanged 1, refused 0, ignored 0");
    expect((await cli("get b --label y")).out).toBe("two");
    expect(await cli("get a --label y")).toMatchObject({ code: 3 });
  });

  it("shows a person how far it is", async () => {
    await put({ "a.md": "one", "b.md": "one" });
    const { err } = await cli(["import", dir], { watched: true });
    expect(err).toBe("\r1 of 2\r2 of 2\r");
  });

  it("stops where there is no service, and where there is no folder", async () => {
    await put({ "a.md": "one" });
    const unreachable = await cli(["import", dir, "--address", "127.0.0.1:1"]);
    expect(unreachable.code).toBe(5);
    expect(unreachable.err).toContain("1 files were not tried: run it again");
    const { code, err } = await cli(["import", join(dir, "nowhere")]);
    expect(err).toBe(
      `promptd: cannot read the folder ${join(dir, "nowhere")}: it does not exist\n`,
    );
    expect(code).toBe(1);
  });
});

describe("export", () => {
  it("gives back the bytes that were imported", async () => {
    await put({
      "bom.md": "\ufeffHi\r\n",
      "empty.md": "",
      "deep/er/markers.md":
        '---\n{{role "user"}}\n@@@langfusePrompt:name=empty|label=production@@@',
      "deep/zero.md": "a\u0000b\n\n",
      "deep/chat.prompt": '---\ntype: chat\n---\n{{role "user"}}\nHi\n\n',
    });
    expect(await cli(["import", dir])).toMatchObject({ code: 0 });
    const copy = join(dir, "copy");
    const original = await filesOf(dir);
    const exported = await cli(["export", copy]);
    expect(exported).toMatchObject({ code: 0, err: "" });
    expect(summaryOf(exported)).toBe("written 5, unchanged 0, refused 0");
    expect(await filesOf(copy)).toEqual(original);
    expect(summaryOf(await cli(["export", copy]))).toBe("written 0, unchanged 5, refused 0");
    expect(summaryOf(await cli(["import", copy]))).toBe(
      "created 0, unchanged 5, refused 0, ignored 0",
    );
  });

  it("loses nothing unless it is forced", async () => {
    await cli("create a - --label production --label staging", { stdin: "mine" });
    await cli("create folder/b - --label production", { stdin: "b" });
    await put({ "a.md": "theirs" });
    const refused = await cli(["export", dir]);
    expect(refused.code).toBe(1);
    expect(summaryOf(refused)).toBe("written 1, unchanged 0, refused 1");
    expect(refused.out).toContain("a.md says something else; --force replaces it\n");
    expect(await filesOf(dir)).toEqual({ "a.md": "theirs", "folder/b.md": "b" });

    const { out } = await cli(["export", dir, "--force", "--json"]);
    expect(JSON.parse(out).prompts).toEqual([
      { name: "a", outcome: "written", path: "a.prompt" },
      { name: "folder/b", outcome: "unchanged", path: "folder/b.md" },
    ]);
    expect(await filesOf(dir)).toEqual({
      "a.prompt": "---\ntype: text\nlabels:\n  - production\n  - staging\n---\nmine",
      "folder/b.md": "b",
    });
  });

  it("takes the versions of a label, in a folder", async () => {
    await cli("create f/a - --label staging", { stdin: "{{x}}" });
    await cli("create f/a - --label production", { stdin: "two" });
    await cli("create g - --label staging", { stdin: "g" });
    const exported = await cli(["export", dir, "--label", "staging", "--folder", "f"]);
    expect(summaryOf(exported)).toBe("written 1, unchanged 0, refused 0");
    // Without its label in the file, an import would put it into production.
    expect(await filesOf(dir)).toEqual({
      "f/a.prompt": "---\ntype: text\nlabels:\n  - staging\n---\n{{x}}",
    });
  });
});

it("takes promptd's own prompts, and answers with them", async () => {
  expect(summaryOf(await cli("import prompts"))).toMatch(
    /^created \d+, unchanged 0, refused 0, ignored 0$/,
  );
  const { prompts } = await service.prompts.listPrompts({ label: "production" });
  expect(prompts.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["support/conversation", "support/guidelines", "support/reply"]),
  );
  const { resolution } = await service.prompts.getPrompt({ name: "support/reply" });
  expect(resolution?.components.map(({ name }) => name)).toEqual(["support/guidelines"]);
  await put({ "history.json": "[]" });
  const words = ["product=Acme", "today=Monday", "articles=none", "message=Hello?"];
  const { out, code } = await cli([
    "compile",
    "support/conversation",
    ...words.flatMap((word) => ["--var", word]),
    "--placeholder",
    `history=${join(dir, "history.json")}`,
  ]);
  expect(code).toBe(0);
  expect(out).toContain("Write as one person to another");
  expect(out).not.toContain("{{");
});
