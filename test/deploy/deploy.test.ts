import { execFile } from "node:child_process";
import { rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { promptd } from "../cli/promptd.ts";
import { until } from "../langfuse/behind.ts";
import { startService } from "../support/service.ts";
import { DeployBench } from "./bench.ts";

let bench: DeployBench;

beforeEach(async () => {
  bench = await DeployBench.open();
});

afterEach(() => bench.close());

const file = (header: string, text: string) => `---\n${header}\n---\n${text}`;

async function text(name: string, label = "production"): Promise<unknown> {
  const selector = { case: "label", value: label } as const;
  const { prompt } = await bench.service.prompts.getPrompt({ name, selector });
  return prompt?.template.value;
}

describe("a plan", () => {
  beforeEach(async () => {
    await bench.write("support/rules.md", "Be kind.\n");
    await bench.write(
      "support/reply.md",
      "@@@langfusePrompt:name=support/rules|label=production@@@",
    );
    await bench.write("title.md", "Title of {{text}}");
    await bench.write("old.md", "Old");
  });

  it("is told before it is done, and after", async () => {
    expect(await bench.run()).toEqual({
      code: 0,
      out: `+ old            new version; production (none) -> new
+ support/reply  new version; production (none) -> new
+ support/rules  new version; production (none) -> new
+ title          new version; production (none) -> new

Plan: 4 to create, 0 to move, 0 to prune, 0 left

+ old            version 1; production (none) -> 1
+ support/reply  version 1; production (none) -> 1
+ support/rules  version 1; production (none) -> 1
+ title          version 1; production (none) -> 1

Done: 4 created, 0 moved, 0 pruned, 0 left
`,
      err: "",
    });
    await bench.write("support/reply.md", "Answer.");
    await bench.write("new_one.prompt", file("labels: [production, v1.0.0]\ntags: [a, b]", "New"));
    await bench.write("title.prompt", file("tags: [x]", "Title of {{text}}"));
    await bench.remove("title.md");
    await bench.remove("old.md");
    const plan = `+ new-one        new version; production (none) -> new; v1.0.0 (none) -> new; tags (none) -> a, b
- old            production 1 -> (none)
+ support/reply  new version; production 1 -> new
~ title          tags (none) -> x

Plan: 2 to create, 1 to move, 1 to prune, 1 left
`;
    const before = await bench.changes();
    expect(await bench.run("--prune --dry-run")).toEqual({ code: 0, out: plan, err: "" });
    expect(await bench.changes()).toEqual(before);
    expect(await bench.run("--prune")).toEqual({
      code: 0,
      out: `${plan}
+ new-one        version 1; production (none) -> 1; v1.0.0 (none) -> 1; tags (none) -> a, b
- old            production 1 -> (none)
+ support/reply  version 2; production 1 -> 2
~ title          tags (none) -> x

Done: 2 created, 1 moved, 1 pruned, 1 left
`,
      err: "",
    });
    const after = await bench.changes();
    expect(await bench.run("--prune")).toEqual({
      code: 0,
      out: "Plan: nothing to do, 4 left\n",
      err: "",
    });
    expect(await bench.changes()).toEqual(after);
  });

  it("has the same shape in JSON as what is done of it", async () => {
    const plan = await bench.report("support/* --dry-run");
    expect(plan).toMatchObject({
      applied: false,
      ok: true,
      reason: "deploy",
      summary: { create: 2, move: 0, prune: 0, wait: 0, left: 0, errors: 0, untried: 0 },
    });
    const done = await bench.report("support/*");
    expect(done).toEqual({
      ...plan,
      applied: true,
      prompts: plan.prompts.map((item) => ({
        ...item,
        version: 1,
        labels: item.labels.map((label) => ({ ...label, to: 1 })),
        done: true,
      })),
    });
    const { prompts } = await bench.service.prompts.listPrompts({});
    expect(prompts.map(({ name }) => name)).toEqual(["support/reply", "support/rules"]);
  });

  it("with an error is not done at all", async () => {
    await bench.write("new.md", "reserved");
    await bench.write("broken.prompt", file("labels: 7", "x"));
    await bench.write("loud.prompt", file("labels: [LOUD]", "x"));
    await bench.write("title.txt", "twice");
    for (const line of ["--dry-run", ""]) {
      const ended = await bench.run(line);
      expect(ended).toMatchObject({
        code: 1,
        err: "promptd: the plan has errors: 5; nothing was done\n",
      });
      expect(ended.out).toMatch(/^! broken +broken.prompt: line 2: labels: expected a list/m);
      expect(ended.out).toMatch(/^! loud +loud.prompt: labels\[0\]: expected a label of 1 to 36/m);
      expect(ended.out).toMatch(/^! new +new.md: name: is reserved$/m);
      expect(ended.out).toMatch(/^! title +title.md: title.txt is a file of the same prompt/m);
      expect(ended.out).toMatch(/^Plan: 3 to create, .*, 5 with errors$/m);
    }
    expect(await bench.changes()).toEqual([]);
    expect(await bench.run("support/*")).toMatchObject({ code: 0 });
  });

  it("says that there is no such file, folder, label or service", async () => {
    expect(await bench.run("nobody")).toMatchObject({ code: 3, out: "" });
    expect(await bench.run("--label Production")).toMatchObject({ code: 2, out: "" });
    expect(await bench.run("--label latest")).toMatchObject({ code: 2, out: "" });
    expect(await bench.run("--canary 0")).toMatchObject({ code: 2, out: "" });
    const dir = `${bench.folder}/nowhere`;
    expect(await promptd(["deploy", "--dir", dir], { env: bench.env })).toMatchObject({ code: 1 });
    const env = { PROMPTD_ADDRESS: "127.0.0.1:1" };
    expect(await bench.run("", { env })).toMatchObject({ code: 5, out: "" });
  });

  it("refuses another type, and does not prune by an empty folder", async () => {
    await bench.run();
    await bench.write("title.json", '[{"role": "user", "content": "x"}]');
    await bench.remove("title.md");
    const ended = await bench.run();
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("! title  title.json: it is a text prompt on the service");
    for (const path of ["title.json", "old.md", "support/rules.md", "support/reply.md"]) {
      await bench.remove(path);
    }
    expect(await bench.run("--prune")).toMatchObject({ code: 1, out: "" });
    expect(await bench.run("")).toMatchObject({ code: 0, out: "Plan: nothing to do, 0 left\n" });
  });
});

describe("a version", () => {
  it("is not made twice: of a revert, beside a draft, or where a label has it", async () => {
    await bench.write("a.md", "one");
    await bench.run();
    await bench.write("a.md", "two");
    await bench.run();
    await bench.write("a.md", "one");
    expect(await bench.run()).toMatchObject({ code: 0 });
    expect(await bench.labels("a")).toEqual({ latest: 2, production: 1 });
    await bench.service.prompts.createVersion({
      name: "a",
      template: { case: "text", value: "somebody's draft" },
    });
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
    expect(await bench.labels("a")).toEqual({ latest: 3, production: 1 });
  });

  it("has a release that is given once", async () => {
    await bench.write("a.prompt", file("labels: [production, v1.4.0]", "one"));
    await bench.run();
    await bench.write("a.prompt", file("labels: [production, v1.4.0]", "two"));
    const ended = await bench.run();
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("! a  a.prompt: v1.4.0 is version 1, whose content is another one");
    await bench.write("a.prompt", file("labels: [production, v1.5.0-rc.1]", "two"));
    expect(await bench.run("--label staging")).toMatchObject({ code: 0 });
    expect(await bench.labels("a")).toEqual({
      latest: 2,
      production: 1,
      staging: 2,
      "v1.4.0": 1,
      "v1.5.0-rc.1": 2,
    });
  });

  it("gets no label where the file wants none, and the one that is asked for", async () => {
    await bench.write("a.prompt", file("labels: []", "one"));
    await bench.run();
    expect(await bench.labels("a")).toEqual({ latest: 1 });
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
    await bench.run("--label staging");
    expect(await bench.labels("a")).toEqual({ latest: 1, staging: 1 });
  });

  it("that is there gets its label before what includes it is made", async () => {
    const { prompts } = bench.service;
    await prompts.createVersion({ name: "part", template: { case: "text", value: "part" } });
    await bench.write("part.md", "part");
    await bench.write("all.md", "@@@langfusePrompt:name=part|label=production@@@!");
    expect(await bench.run()).toMatchObject({ code: 0, err: "" });
    expect(await text("all")).toBe("part!");
  });

  it("of many is looked for as far as it takes", async () => {
    const { prompts } = bench.service;
    for (let at = 1; at <= 205; at++) {
      const labels = at === 2 ? ["production"] : [];
      const template = { case: "text", value: `text ${at}` } as const;
      await prompts.createVersion({ name: "a", template, labels });
    }
    await bench.write("a.md", "text 2");
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
    await bench.write("a.md", "text 1");
    expect((await bench.run()).out).toContain("~ a  production 2 -> 1\n");
    expect(await text("a")).toBe("text 1");
  });
});

describe("what somebody else does meanwhile", () => {
  beforeEach(async () => {
    await bench.write("a.md", "one");
    await bench.write("b.prompt", file("labels: [production]\ntags: [x]", "one"));
    await bench.run();
    await bench.write("a.md", "two");
  });

  const move = (name: string, label: string, version: number) => () =>
    bench.service.prompts.setLabels({ name, moves: [{ label, version }] });

  it("is a conflict where it is the label, before its version and after", async () => {
    const other = { case: "text", value: "other" } as const;
    for (const method of ["createVersion", "setLabels"] as const) {
      const mine = `mine, of ${method.length} letters`;
      await bench.write("a.md", mine);
      const made = await bench.service.prompts.createVersion({ name: "a", template: other });
      const report = await bench.during(method, move("a", "production", made.version));
      expect(report).toMatchObject({ ok: false, summary: { create: 0, errors: 1 } });
      expect(report.prompts[0]).toMatchObject({ code: "conflict", done: false });
      expect(await text("a")).toBe("other");
      // Again, and it goes on with the version that is there.
      expect(await bench.run()).toMatchObject({ code: 0 });
      expect(await text("a")).toBe(mine);
      await bench.write("a.md", "between");
      await bench.run();
    }
  });

  it("is a conflict where it is a version, or tags", async () => {
    const other = { case: "text", value: "other" } as const;
    const draft = () => bench.service.prompts.createVersion({ name: "a", template: other });
    const report = await bench.during("createVersion", draft);
    expect(report.prompts[0]).toMatchObject({ name: "a", code: "conflict" });
    await bench.run();
    await bench.write("b.prompt", file("labels: [production]\ntags: [y]", "one"));
    const tagged = await bench.during("setTags", () =>
      bench.service.prompts.setTags({ name: "b", tags: ["theirs"] }),
    );
    expect(tagged.prompts[1]).toMatchObject({ name: "b", code: "conflict" });
    expect((await bench.cli("list")).out).toContain("theirs");
  });

  it("keeps labels from moving, so that nothing is served half", async () => {
    await bench.write("c.md", "new");
    await bench.write("b.md", "two");
    await bench.remove("b.prompt");
    const other = { case: "text", value: "other" } as const;
    const report = await bench.during("createVersion", () =>
      bench.service.prompts.createVersion({ name: "c", template: other }),
    );
    expect(report.summary).toMatchObject({ create: 0, errors: 1, untried: 2, left: 0 });
    expect([await text("a"), await text("b")]).toEqual(["one", "one"]);
    expect(await bench.run()).toMatchObject({ code: 0 });
    expect([await text("a"), await text("b"), await text("c")]).toEqual(["two", "two", "new"]);
    expect(await bench.labels("b")).toEqual({ latest: 2, production: 2 });
  });
});

describe("--prune", () => {
  it("takes the label alone, which can be undone", async () => {
    await bench.write("a.prompt", file("labels: [production, staging]", "one"));
    await bench.write("team/b.md", "two");
    await bench.write("c.md", "three");
    await bench.run();
    await bench.remove("a.prompt");
    await bench.remove("team/b.md");
    expect((await bench.run()).out).toBe("Plan: nothing to do, 1 left\n");
    expect((await bench.run("team/* --prune")).out).toMatch(/^Done: .* 1 pruned, 0 left$/m);
    expect(await bench.labels("a")).toEqual({ latest: 1, production: 1, staging: 1 });
    expect((await bench.run("--prune --label staging --dry-run")).out).toMatch(
      /^- a {2}staging 1 -> \(none\)$/m,
    );
    await bench.run("--prune");
    expect(await bench.labels("a")).toEqual({ latest: 1, staging: 1 });
    expect(await bench.cli("label undo a")).toMatchObject({ code: 0 });
    expect(await text("a")).toBe("one");
  });

  it("takes nothing from prompts whose files are behind a link", async () => {
    await bench.write("a.md", "one");
    await bench.write("team_x/b.md", "two");
    await bench.write("c.md", "three");
    await bench.run();
    for (const path of ["a.md", "team_x"]) {
      await rename(join(bench.folder, path), `${bench.folder}-${path}`);
      await symlink(`${bench.folder}-${path}`, join(bench.folder, path));
    }
    const ended = await bench.run("--prune");
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain("! a         a.md: a link that leads out of the folder\n");
    expect(ended.out).toContain("! team-x/b  team_x: a link that leads out of the folder\n");
    await rename(`${bench.folder}-a.md`, join(bench.folder, "a.md"));
    await rm(`${bench.folder}-team_x`, { recursive: true });
  });

  it("tells of what is included still", async () => {
    await bench.write("part.md", "part");
    await bench.write("all.md", "@@@langfusePrompt:name=part|label=production@@@");
    await bench.run();
    await bench.remove("part.md");
    const ended = await bench.run("--prune");
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.out).toContain('! part  prompt "part" is included by all v1 (label production)');
    expect(ended.out).toMatch(/^Done: 0 created, 0 moved, 0 pruned, 1 left, 1 failed$/m);
  });
});

describe("the history", () => {
  it("has the commit, its author, the branch and the run in every change", async () => {
    const git = (...args: string[]) =>
      promisify(execFile)("git", ["-C", bench.folder, ...args], {
        env: { PATH: process.env.PATH, HOME: bench.folder },
      });
    await bench.write("a.prompt", file("commit_message: first", "one"));
    await git("init", "--initial-branch", "main");
    await git("config", "user.name", "Ada");
    await git("config", "user.email", "ada@example.com");
    await git("add", ".");
    await git("commit", "--message", "one");
    const commit = async () => (await git("rev-parse", "HEAD")).stdout.slice(0, 12);
    const env = {
      GITHUB_SERVER_URL: "https://github.com",
      GITHUB_REPOSITORY: "acme/prompts",
      GITHUB_RUN_ID: "7",
    };
    const url = "https://github.com/acme/prompts/actions/runs/7";
    const first = await commit();
    await bench.run("--reason go", { env });
    await bench.write("a.prompt", file("commit_message: second\ntags: [x]", "two"));
    await git("commit", "--all", "--message", "two");
    await bench.run("", { env });
    const second = await commit();
    await bench.write("a.prompt", file("tags: [y]", "two"));
    await bench.run("", { env });
    const from = (of: string) => `deploy ${of} (main) by Ada: ${url}`;
    expect((await bench.changes("a")).map(({ reason }) => reason)).toEqual([
      `first; go; ${from(first)}`,
      `second; ${from(second)}`,
      from(second),
      from(`${second}-dirty`),
    ]);
  });

  it("says as much as is known outside of git", async () => {
    await bench.write("a.md", "one");
    await bench.run("--reason why");
    expect((await bench.changes("a")).map(({ reason }) => reason)).toEqual(["why; deploy"]);
  });
});

it("waits where the service bounds the calls of a key", async () => {
  const bounded = await DeployBench.open(await startService({ PROMPTD_KEY_RATE: "20" }));
  try {
    for (let at = 0; at < 30; at++) await bounded.write(`p${at}.md`, `text ${at}`);
    expect(await bounded.run()).toMatchObject({ code: 0 });
    await until(
      () => bounded.service.prompts.listPrompts({ label: "production" }).catch(() => undefined),
      (listed) => listed?.prompts.length === 30,
    );
  } finally {
    await bounded.close();
  }
});
