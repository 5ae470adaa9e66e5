import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadProject, PROJECT_FILE } from "./project.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-project-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

const write = (yaml: string, folder = ".") => writeFile(join(dir, folder, PROJECT_FILE), yaml);

describe("loadProject", () => {
  it("reads what the file says", async () => {
    const yaml = `\ufeff# how our prompts are kept
sync:
  folder: llm/prompts
  remote: langfuse
  label: production
  labels: [staging]
  authority: local
  auto_resolve: newest
  naming: exact
  files:
    team/Old_Name.md: oldest
test:
  model: small
  prices:
    small: {input: 0.15, output: 0.6}
`;
    await write(yaml.replaceAll("\n", "\r\n"));
    const { naming, ...project } = await loadProject(undefined, dir);
    expect(project).toEqual({
      folder: join(dir, "llm/prompts"),
      remote: "langfuse",
      label: "production",
      labels: ["staging"],
      authority: "local",
      autoResolve: "newest",
      validate: {},
      test: { model: "small", prices: { small: { input: 0.15, output: 0.6 } } },
    });
    expect(naming.nameOf("team/Old_Name.prompt")).toBe("oldest");
    expect(naming.nameOf("a_b.md")).toBe("a_b");
  });

  it.each(["", "# nothing yet\n", "sync: {}\n"])("has defaults beside %j", async (yaml) => {
    await write(yaml);
    const { naming, ...project } = await loadProject(undefined, dir);
    const folder = join(dir, "prompts");
    const test = { prices: {} };
    expect(project).toEqual({ folder, remote: "promptd", labels: [], validate: {}, test });
    expect(naming.nameOf("a_b.md")).toBe("a-b");
  });

  it("finds the file, and the folder", async () => {
    await mkdir(join(dir, "named/texts"), { recursive: true });
    const folderOf = async (named?: string) => (await loadProject(named, dir)).folder;
    const named = join(dir, "named");
    expect(await folderOf()).toBe(join(dir, "prompts"));
    expect(await folderOf(named)).toBe(named);

    await write("sync: {folder: elsewhere, label: production}");
    expect(await folderOf()).toBe(join(dir, "elsewhere"));
    expect(await loadProject(named, dir)).toMatchObject({ folder: named, label: "production" });

    await write("sync: {label: canary}", "named");
    expect(await loadProject(named, dir)).toMatchObject({ folder: named, label: "canary" });
    await write("sync: {folder: texts}", "named");
    expect(await folderOf(named)).toBe(join(named, "texts"));
  });

  it.each([
    ["an unknown part", "pull: {}\n", 'line 1: unknown key "pull": expected one of sync'],
    [
      "an unknown key",
      "sync:\n  label: a\n  lable: a\n",
      'line 3: unknown key "lable": expected one of folder, remote, label, labels, authority, auto_resolve, naming, files',
    ],
    [
      "a remote",
      "sync:\n  remote: git\n",
      "line 2: sync.remote: expected one of promptd, langfuse, langsmith",
    ],
    ["a rule", "sync: {naming: snake}", "line 1: sync.naming: expected one of kebab, exact"],
    ["what is no map", "sync: prompts", "line 1: sync: expected keys and values"],
    ["a list", "- sync", "line 1: expected keys and values"],
    ["a label", "\nsync: {label: A B}", "line 2: sync.label: expected a label of 1 to 36"],
    [
      "one of labels",
      "sync:\n  labels:\n  - a\n  - B\n",
      "line 4: sync.labels[1]: expected a label",
    ],
    ["a folder elsewhere", "sync: {folder: a/../../b}", "line 1: sync.folder: expected a folder"],
    ["an absolute folder", "sync: {folder: /etc}", "line 1: sync.folder: expected a folder"],
    ["broken YAML", "sync: {", "line 1: not the YAML expected"],
    ["a key twice", "sync: {}\nsync: {}\n", "line 2: not the YAML expected: Map keys must be"],
    ["a file elsewhere", "sync: {files: {../a.md: a}}", 'sync.files: "../a.md" is no path'],
    ["a file that is no prompt", "sync: {files: {a.yaml: a}}", "expected a path that ends in .md"],
    ["a name", "sync:\n  files:\n    a.md: a//b\n", "line 3: sync.files: must not start or end"],
    [
      "a name twice",
      "sync:\n  files:\n    a.md: x\n    b.md: x\n",
      "line 4: sync.files: b.md and a.md cannot be told apart",
    ],
    [
      "a file twice",
      "sync:\n  files:\n    a.md: x\n    A.txt: y\n",
      "line 4: sync.files: A.txt and a.md cannot be told apart",
    ],
  ])("refuses %s", async (_, yaml, message) => {
    await write(yaml);
    await expect(loadProject(undefined, dir)).rejects.toThrow(message);
    await expect(loadProject(undefined, dir)).rejects.toThrow(join(dir, PROJECT_FILE));
  });

  it("refuses a file that is too large, and what is none", async () => {
    await write(" ".repeat(1024 * 1024 + 1));
    await expect(loadProject(undefined, dir)).rejects.toThrow("expected at most 1048576");
    await rm(join(dir, PROJECT_FILE));
    await mkdir(join(dir, PROJECT_FILE));
    await expect(loadProject(undefined, dir)).rejects.toThrow("is not a regular file");
    await rm(join(dir, PROJECT_FILE), { recursive: true });
    await symlink("/dev/zero", join(dir, PROJECT_FILE));
    await expect(loadProject(undefined, dir)).rejects.toThrow("is not a regular file");
  });
});
