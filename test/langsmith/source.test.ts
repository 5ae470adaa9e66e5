import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change_Kind } from "../../gen/promptd/v1/change_service_pb.ts";
import { TemplateFormat } from "../../gen/promptd/v1/prompt_pb.ts";
import { LangsmithApi } from "../../src/sources/langsmith/api.ts";
import { promptd } from "../cli/promptd.ts";
import { changesOf } from "../langfuse/behind.ts";
import { type Behind, startBehind } from "./behind.ts";
import { reply } from "./stand-in.ts";

let behind: Behind;

beforeEach(async () => {
  behind = await startBehind();
});

afterEach(() => behind.close());

const get = (name: string, label = "production") =>
  behind.service.prompts.getPrompt({ name, selector: { case: "label", value: label } });

const create = (name: string, value: string, more: object = {}) =>
  behind.service.prompts.createVersion({
    name,
    template: { case: "text", value },
    format: TemplateFormat.FSTRING,
    ...more,
  });

const move = (name: string, label: string, version: number) =>
  behind.service.prompts.setLabels({ name, moves: [{ label, version }], reason: "because" });

describe("prompts in a LangSmith", () => {
  it("are answered, compiled and told apart by commit", async () => {
    const { service, push } = behind;
    const first = await push("greet", "Hi {name}", ["production"]);
    await push("greet", "Hello {name}");
    const { prompt, resolution } = await get("greet");
    expect(prompt).toMatchObject({ version: 1, labels: ["production"], author: "Ada Lovelace" });
    expect(prompt?.format).toBe(TemplateFormat.FSTRING);
    expect(resolution?.sourceVersion).toBe(first);
    // From memory too.
    expect((await get("greet")).resolution?.sourceVersion).toBe(first);
    const latest = { name: "greet", selector: { case: "label" as const, value: "latest" } };
    const compiled = await service.prompts.compile({ ...latest, variables: { name: "Ada" } });
    expect(compiled.output).toMatchObject({ case: "text", value: "Hello Ada" });
    expect(compiled.resolution?.version).toBe(2);
    await expect(get("greet", "qa")).rejects.toThrow(
      'prompt "greet" has no label "qa"; it has latest, production',
    );
    await expect(get("nobody")).rejects.toMatchObject({ code: Code.NotFound });
    // No name that could lead elsewhere is asked for.
    await expect(get("../settings")).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("are changed there, and the history tells who did it", async () => {
    const { service, others } = behind;
    const created = await create("own", "one", { labels: ["production"], tags: ["t"] });
    expect(created).toMatchObject({ version: 1, created: true });
    expect(await create("own", "one", { labels: ["qa"] })).toMatchObject({ created: false });
    await create("own", "two {x}", { commitMessage: "better", tags: ["t", "u"] });
    await move("own", "production", 2);
    await move("own", "qa", 0);
    await service.prompts.setTags({ name: "own", tags: ["v"], reason: "because" });
    const pulled = await others.pullPromptCommit("own:production");
    expect(pulled.manifest.kwargs).toMatchObject({ template: "two {x}", input_variables: ["x"] });
    expect(await others.getPrompt("own")).toMatchObject({ is_public: false, tags: ["v"] });
    const { versions } = await service.prompts.listVersions({ name: "own" });
    expect(versions).toMatchObject([
      { version: 2, labels: ["latest", "production"], commitMessage: "better" },
      { version: 1, labels: [], commitMessage: "" },
    ]);
    expect(await changesOf(service, "own")).toMatchObject([
      { kind: Change_Kind.VERSION_CREATED, labels: [{ label: "production", toVersion: 1 }] },
      { kind: Change_Kind.LABELS_SET, labels: [{ label: "qa", toVersion: 1 }] },
      { kind: Change_Kind.VERSION_CREATED, versions: [2] },
      {
        kind: Change_Kind.LABELS_SET,
        labels: [{ label: "production", fromVersion: 1, toVersion: 2 }],
      },
      { kind: Change_Kind.LABELS_SET, labels: [{ label: "qa", fromVersion: 1, toVersion: 0 }] },
      { kind: Change_Kind.TAGS_SET },
    ]);
    await service.prompts.deleteVersions({ name: "own", all: true });
    await expect(get("own", "latest")).rejects.toMatchObject({ code: Code.NotFound });
    expect(await others.getPrompt("own").catch(() => null)).toBeNull();
  });

  it("are listed in order, those of strangers aside", async () => {
    const { service, others, push } = behind;
    await push("b", "2", ["production"]);
    await push("c-d_1", "1");
    await others.createPrompt("empty");
    await push("a", "1", ["qa"]);
    await others.updatePrompt("a", { tags: ["t"] });
    const list = async (filter: object) =>
      (await service.prompts.listPrompts(filter)).prompts.map(({ name }) => name);
    expect(await list({})).toEqual(["a", "b", "c-d_1"]);
    expect(await list({ label: "production" })).toEqual(["b"]);
    expect(await list({ tag: "t" })).toEqual(["a"]);
    expect(await list({ folder: "a" })).toEqual([]);
    const first = await service.prompts.listPrompts({ pageSize: 2 });
    expect(first.prompts[1]).toMatchObject({
      labels: [
        { label: "latest", version: 1 },
        { label: "production", version: 1 },
      ],
      latestVersion: 1,
    });
    expect(await list({ pageSize: 2, pageToken: first.nextPageToken })).toEqual(["c-d_1"]);
  });

  it("pages versions, newest first", async () => {
    const { service, push } = behind;
    for (const template of ["1", "2", "3"]) await push("p", template, [`l${template}`]);
    const page = await service.prompts.listVersions({ name: "p", pageSize: 2 });
    expect(page.versions.map(({ version }) => version)).toEqual([3, 2]);
    const rest = await service.prompts.listVersions({ name: "p", pageToken: page.nextPageToken });
    expect(rest.versions).toMatchObject([{ version: 1, labels: ["l1"] }]);
    const labelled = await service.prompts.listVersions({ name: "p", label: "l2" });
    expect(labelled.versions.map(({ version }) => version)).toEqual([2]);
  });

  it("are told with their commits to people", async () => {
    const { service, push } = behind;
    const hash = await push("p", "x", ["production"]);
    const { versions } = await service.prompts.listVersions({ name: "p" });
    expect(versions).toMatchObject([{ sourceVersion: hash }]);
    const env = { PROMPTD_ADDRESS: service.runtime.grpcAddress };
    const start = hash.slice(0, 12);
    const { out } = await promptd(["versions", "p"], { env });
    expect(out.split("\n").map((line) => line.split(/ +/).slice(0, 2))).toEqual([
      ["VERSION", "SOURCE"],
      ["1", start],
      [""],
    ]);
    const { err } = await promptd(["get", "p"], { env, watched: true });
    expect(err).toContain(`p version 1 (source ${start}) (latest, production)`);
  });

  it("ask nobody but LangSmith's API for prompts, traces or no traces", async () => {
    process.env.LANGSMITH_TRACING = "true";
    try {
      await create("quiet", "x", { labels: ["production"], tags: ["t"] });
      await get("quiet");
    } finally {
      delete process.env.LANGSMITH_TRACING;
    }
    const asked = behind.standIn.seen.map((line) => line.split(/[/?]/)[1]);
    expect([...new Set(asked)].sort()).toEqual(["commits", "repos", "settings"]);
    expect(behind.service.log.join("")).not.toContain("lsv2_pt_");
  });
});

describe("what LangSmith has no place for is refused:", () => {
  it.each<[what: string, request: object, why: string]>([
    ["a folder", { name: "support/triage" }, "names prompts with a-z, 0-9, - and _"],
    ["capitals", { name: "Triage" }, "names prompts with a-z, 0-9, - and _"],
    [
      "a config",
      { config: { kind: { case: "stringValue", value: "x" } } },
      "a config has no place in LangSmith",
    ],
  ])("%s", async (_, request, why) => {
    const refused = create("p", "x", request);
    await expect(refused).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await expect(refused).rejects.toThrow(why);
    expect(behind.standIn.seen.filter((line) => line.startsWith("POST"))).toEqual([]);
  });

  it("one version of several to delete", async () => {
    await behind.push("p", "1");
    await behind.push("p", "2");
    const { prompts } = behind.service;
    const refused = prompts.deleteVersions({ name: "p", versions: [1] });
    await expect(refused).rejects.toThrow("deletes a prompt with all its versions");
    await prompts.deleteVersions({ name: "p", versions: [1, 2] });
    await expect(get("p", "latest")).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("a version that promptd cannot read, which lists leave out", async () => {
    const { others, push, service } = behind;
    await push("p", "{x}", ["production"]);
    const leaf = { template: "{{ x }}", template_format: "jinja2" };
    const id = ["langchain", "prompts", "prompt", "PromptTemplate"];
    await others.createCommit("p", { lc: 1, type: "constructor", id, kwargs: leaf });
    const refused = get("p", "latest");
    await expect(refused).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await expect(refused).rejects.toThrow('"p" v2 of LangSmith is none of promptd\'s');
    await expect(refused).rejects.toThrow("format jinja2");
    const { versions } = await service.prompts.listVersions({ name: "p" });
    expect(versions.map(({ version }) => version)).toEqual([1]);
    expect((await service.prompts.listPrompts({})).prompts).toMatchObject([{ latestVersion: 2 }]);
    expect(await create("p", "{y}")).toMatchObject({ version: 3 });
  });
});

describe("a race", () => {
  /** Has somebody else commit right before promptd does, once. */
  const raced = (name: string) => {
    behind.standIn.before = async ({ method, path }) => {
      if (method !== "POST" || !path.startsWith(`/commits/-/${name}`)) return;
      behind.standIn.before = () => {};
      await behind.push(name, "theirs");
    };
  };

  it("loses no version", async () => {
    await behind.push("p", "1");
    raced("p");
    expect(await create("p", "mine", { labels: ["qa"] })).toMatchObject({ version: 3 });
    const { versions } = await behind.service.prompts.listVersions({ name: "p" });
    expect(versions).toMatchObject([{ labels: ["latest", "qa"] }, {}, {}]);
    expect((await get("p", "qa")).prompt?.template.value).toBe("mine");
  });

  it("is a conflict for who expects another newest version", async () => {
    await behind.push("p", "1");
    raced("p");
    const late = create("p", "mine", { expectedLatestVersion: 1 });
    await expect(late).rejects.toMatchObject({ code: Code.Aborted });
    expect((await get("p", "latest")).prompt?.template.value).toBe("theirs");
  });

  it("is one also where LangSmith does not look at parents, and both versions are kept", async () => {
    await behind.push("p", "1");
    behind.standIn.checksParents = false;
    raced("p");
    const late = create("p", "mine", { expectedLatestVersion: 1, labels: ["qa"] });
    await expect(late).rejects.toMatchObject({ code: Code.Aborted });
    await expect(late).rejects.toThrow("version 3 was created, without labels and tags");
    expect((await get("p", "latest")).prompt?.template.value).toBe("mine");
    await expect(get("p", "qa")).rejects.toMatchObject({ code: Code.NotFound });
    expect(await changesOf(behind.service, "p")).toMatchObject([{ versions: [3] }]);
    raced("p");
    expect(await create("p", "again", { labels: ["qa"] })).toMatchObject({ version: 5 });
    expect((await get("p", "qa")).prompt?.template.value).toBe("again");
  });

  it.each<[what: string, from: number, meanwhile: number, to: number]>([
    ["put where there was none", 0, 2, 1],
    ["taken away", 2, 0, 1],
    ["moved elsewhere", 3, 2, 1],
    ["taken away that was to be", 2, 0, 0],
  ])("for a label that is %s meanwhile ends as the later one said", async (_, from, then, to) => {
    for (const template of ["1", "2", "3"]) await behind.push("p", template);
    if (from !== 0) await move("p", "qa", from);
    let raced = false;
    behind.standIn.before = async ({ method, path }) => {
      if (method === "GET" || raced || !path.includes("/tags")) return;
      raced = true;
      const theirs = new LangsmithApi({ endpoint: behind.standIn.url, apiKey: behind.apiKey });
      const commit = (await theirs.history("p"))?.commits[then - 1];
      if (commit === undefined) await theirs.removeTag("p", "qa");
      else await theirs.putTag("p", "qa", commit.id, from !== 0);
    };
    await move("p", "qa", to);
    expect(raced).toBe(true);
    const { versions } = await behind.service.prompts.listVersions({ name: "p", label: "qa" });
    expect(versions.map(({ version }) => version)).toEqual(to === 0 ? [] : [to]);
  });

  it("for a prompt that is new loses nothing either", async () => {
    behind.standIn.before = async ({ method, path }) => {
      if (method !== "POST" || !path.startsWith("/repos")) return;
      behind.standIn.before = () => {};
      await behind.push("p", "theirs");
    };
    expect(await create("p", "mine")).toMatchObject({ version: 2 });
  });
});

describe("what was done in part", () => {
  it("is told, with what was not", async () => {
    const { standIn, service } = behind;
    standIn.before = ({ method, path }, response) => {
      if (method === "POST" && path.endsWith("/tags")) reply(response, 422, { detail: "no" });
    };
    const partly = create("p", "x", { labels: ["qa"] });
    await expect(partly).rejects.toThrow("no; before that version 1 was created");
    await expect(partly).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await changesOf(service, "p")).toMatchObject([
      { kind: Change_Kind.VERSION_CREATED, versions: [1], labels: [] },
    ]);
  });

  it("is read again where nobody knows of it", async () => {
    const { standIn, service } = behind;
    standIn.cutAfter = ({ method, path }) => method === "POST" && path.startsWith("/commits");
    const unknown = create("p", "x");
    await expect(unknown).rejects.toMatchObject({ code: Code.Unavailable });
    await expect(unknown).rejects.toThrow("look before you try again");
    expect(await changesOf(service, "p")).toMatchObject([{ kind: Change_Kind.SOURCE_CHANGED }]);
    standIn.cutAfter = () => false;
    expect((await get("p", "latest")).prompt?.template.value).toBe("x");
    expect(await create("p", "x")).toMatchObject({ version: 1, created: false });
  });
});

it("speaks of the API key where it is not let in, in the log and not to callers", async () => {
  const { standIn, service } = behind;
  standIn.before = (_, response) => reply(response, 401, { detail: "Invalid token" });
  const shut = get("p");
  await expect(shut).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(shut).rejects.toThrow("LangSmith does not let promptd in");
  expect(service.log.join("")).toContain("check LANGSMITH_API_KEY");
  const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
  expect(await ready.json()).toMatchObject({
    dependencies: { database: "ok", langsmith: "LangSmith does not let promptd in" },
  });
});
