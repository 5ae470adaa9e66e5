import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Naming } from "./naming.ts";
import { readFolder } from "./read-folder.ts";
import { MAX_FILE_BYTES } from "./scan.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-folder-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
}

describe("readFolder", () => {
  it("reads what each prompt's file says", async () => {
    await put({
      "promptd.yaml": "sync: {}",
      ".promptd/sync.json": "{}",
      "notes/promptd.yaml": "",
      "first_agent.txt": "one",
      "team/second.prompt": "---\ntags: [x]\ntests: [1]\n---\ntwo",
      "third.md": "three",
    });
    const naming = new Naming("kebab", [["third.md", "Third_One"]]);
    const { prompts, refused, ignored } = await readFolder(dir, naming);
    const body = { type: "text", format: "mustache", config: {} };
    expect(prompts).toEqual([
      {
        name: "first-agent",
        path: "first_agent.txt",
        bytes: Buffer.from("one"),
        content: { body: { ...body, template: "one" } },
      },
      {
        name: "team/second",
        path: "team/second.prompt",
        bytes: Buffer.from("---\ntags: [x]\ntests: [1]\n---\ntwo"),
        content: { body: { ...body, template: "two" }, tags: ["x"], tests: [1] },
      },
      expect.objectContaining({ name: "Third_One", path: "third.md" }),
    ]);
    expect(refused).toEqual([]);
    expect(ignored.map(({ path }) => path)).toEqual(["notes/promptd.yaml"]);
  });

  it("takes none of what cannot be told apart", async () => {
    await put({
      "an-agent.md": "",
      "an_agent.md": "",
      "Case/A.md": "",
      "Case/a.prompt": "",
      "Folder/b.md": "",
      "folder/c.md": "",
      "d.md": "",
      "d.txt": new Uint8Array(MAX_FILE_BYTES + 1),
      "e.md": "",
      "e/f.md": "",
      "g.json": "{",
      "h.j2": "",
    });
    const { prompts, refused } = await readFolder(dir, new Naming("kebab"));
    expect(prompts.map(({ name }) => name)).toEqual(["e", "e/f"]);
    const same = (path: string) => `${path} is the same to file systems that ignore case`;
    expect(refused.map(({ path, name, why }) => [path, name, why.split(";")[0]])).toEqual([
      ["Case/A.md", "Case/A", same("Case/a")],
      ["Case/a.prompt", "Case/a", same("Case/A")],
      ["Folder/b.md", "Folder/b", same("folder/")],
      ["an-agent.md", "an-agent", "an_agent.md is a file of the same prompt, an-agent"],
      ["an_agent.md", "an-agent", "an-agent.md is a file of the same prompt, an-agent"],
      ["d.md", "d", "d.txt is a file of the same prompt, d"],
      ["d.txt", "d", "has 2097153 bytes, expected at most 2097152"],
      ["folder/c.md", "folder/c", same("Folder/")],
      ["g.json", "g", expect.stringContaining("not JSON")],
      ["h.j2", undefined, expect.stringContaining("are for the fallback folder")],
    ]);
  });

  it("refuses what is no folder", async () => {
    await expect(readFolder(join(dir, "nowhere"), new Naming("exact"))).rejects.toThrow(
      "it does not exist",
    );
  });
});
