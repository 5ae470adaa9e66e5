import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChatMessagesSchema, TemplateFormat } from "../../gen/promptd/v1/prompt_pb.ts";
import { MissingVariables } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { canary, putRollout } from "../support/rollouts.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let prompts: TestService["prompts"];

beforeEach(async () => {
  service = await startService();
  prompts = service.prompts;
});

afterEach(() => service.close());

const label = (value: string) => ({ case: "label" as const, value });
const version = (value: number) => ({ case: "version" as const, value });

function createText(name: string, text: string, labels: string[] = ["production"]) {
  return prompts.createVersion({ name, template: { case: "text", value: text }, labels });
}

async function textOf(name: string, selector = label("production"), raw = false): Promise<string> {
  const { prompt } = await prompts.getPrompt({ name, selector, raw });
  return prompt?.template.case === "text" ? prompt.template.value : "";
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "OK",
    (thrown) => Code[ConnectError.from(thrown).code],
  );
}

describe("GetPrompt", () => {
  it("tells why, with an id of its own for each answer", async () => {
    const { contentHash, revision } = await createText("p", "text", ["production", "staging"]);
    const first = await prompts.getPrompt({ name: "p", userId: "u" });
    const second = await prompts.getPrompt({ name: "p", selector: version(1) });
    expect(first.resolution).toMatchObject({
      name: "p",
      version: 1,
      label: "production",
      contentHash,
    });
    expect(first.prompt).toMatchObject({ revision, labels: ["latest", "production", "staging"] });
    expect(second.resolution).toMatchObject({ version: 1, label: "", contentHash });
    expect(first.resolution?.reason).not.toBe(second.resolution?.reason);
    const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    expect(first.resolution?.id).toMatch(uuid7);
    expect(second.resolution?.id).toMatch(uuid7);
    expect(first.resolution?.id).not.toBe(second.resolution?.id);
  });

  it("keeps label 3 apart from version 3", async () => {
    for (const text of ["one", "two", "three"]) await createText("p", text, []);
    await prompts.setLabels({ name: "p", moves: [{ label: "3", version: 1 }] });
    expect(await textOf("p", label("3"))).toBe("one");
    const { prompt } = await prompts.getPrompt({ name: "p", selector: version(3) });
    expect(prompt?.template.value).toBe("three");
  });

  it("answers at once with what changed, also beside the body", async () => {
    await createText("p", "one");
    expect(await textOf("p")).toBe("one");
    await createText("p", "two");
    expect(await textOf("p")).toBe("two");
    await prompts.setLabels({ name: "p", moves: [{ label: "production", version: 1 }] });
    expect(await textOf("p")).toBe("one");
    await prompts.setTags({ name: "p", tags: ["new"] });
    expect((await prompts.getPrompt({ name: "p" })).prompt?.tags).toEqual(["new"]);
    await prompts.deleteVersions({ name: "p", all: true });
    expect(await codeOf(textOf("p"))).toBe("NotFound");
  });

  it("follows what an included prompt's label points at", async () => {
    await createText("tone", "Be kind.");
    const tag = "@@@langfusePrompt:name=tone|label=production@@@";
    await createText("reply", `${tag} Answer {{question}}`);
    expect(await textOf("reply")).toBe("Be kind. Answer {{question}}");
    expect(await textOf("reply", label("production"), true)).toBe(`${tag} Answer {{question}}`);
    const before = await prompts.getPrompt({ name: "reply" });
    expect(before.resolution?.components).toMatchObject([{ name: "tone", version: 1 }]);
    await createText("tone", "Be brief.");
    expect(await textOf("reply")).toBe("Be brief. Answer {{question}}");
    const after = await prompts.getPrompt({ name: "reply" });
    expect(after.resolution?.components).toMatchObject([{ name: "tone", version: 2 }]);
    expect(after.resolution?.contentHash).toBe(before.resolution?.contentHash);
  });

  it("holds config of 32 levels and any text, byte for byte", async () => {
    const config = Array.from({ length: 32 }).reduce<unknown>((inner) => [inner], "deep");
    const text = "\u0000\r\n\ufeff {{a}} \u2028 \u{10ffff} é é {% x %} $& @@@";
    const toValue = (value: unknown): never =>
      (Array.isArray(value)
        ? { kind: { case: "listValue", value: { values: value.map(toValue) } } }
        : { kind: { case: "stringValue", value } }) as never;
    await prompts.createVersion({
      name: "p",
      template: { case: "text", value: text },
      config: toValue(config),
      labels: ["production"],
    });
    expect(await textOf("p")).toBe(text);
    const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/GetPrompt`;
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: '{"name":"p"}' });
    expect(await response.json()).toMatchObject({ prompt: { text, config } });
  });
});

describe("BatchGetPrompts", () => {
  it("answers each item by itself, in order", async () => {
    await createText("a", "A");
    const { items } = await prompts.batchGetPrompts({
      requests: [
        { name: "a" },
        { name: "b" },
        { name: "a|b" },
        { name: "a", selector: version(1) },
      ],
    });
    expect(items.map(({ result }) => result.case)).toEqual([
      "response",
      "error",
      "error",
      "response",
    ]);
    expect(items.map(({ result }) => result.case === "error" && result.value.code)).toEqual([
      false,
      Code.NotFound,
      Code.InvalidArgument,
      false,
    ]);
  });

  it("stays below what clients read, and says so for the items that did not fit", async () => {
    await createText("large", "x".repeat(1024 * 1024));
    await createText("small", "y");
    const requests = [...Array(6).fill({ name: "large" }), { name: "small" }];
    const { items } = await prompts.batchGetPrompts({ requests });
    const fitted = items.map(({ result }) => result.case === "response");
    expect(fitted).toEqual([true, true, true, false, false, false, true]);
    const refused = items[3]?.result;
    expect(refused?.case === "error" && refused.value.code).toBe(Code.ResourceExhausted);
  });

  it("takes 1 to 100 requests", async () => {
    await createText("a", "A");
    const of = (count: number) =>
      prompts.batchGetPrompts({ requests: Array(count).fill({ name: "a" }) });
    expect((await of(100)).items).toHaveLength(100);
    expect(await codeOf(of(101))).toBe("InvalidArgument");
    expect(await codeOf(of(0))).toBe("InvalidArgument");
  });
});

describe("Compile", () => {
  it("fills text and chat, and inserts messages as they are", async () => {
    await prompts.createVersion({
      name: "chat",
      format: TemplateFormat.FSTRING,
      labels: ["production"],
      template: {
        case: "chat",
        value: {
          items: [
            { item: { case: "message", value: { role: "system", content: "{{json}} {who} {n}" } } },
            { item: { case: "placeholder", value: { name: "history" } } },
          ],
        },
      },
    });
    const history = create(ChatMessagesSchema, {
      messages: [{ role: "user", content: "{who} {{n}}" }],
    });
    const { output, resolution } = await prompts.compile({
      name: "chat",
      variables: { who: "{n}", n: { b: 1, a: [true, null] } },
      placeholders: { history },
    });
    expect(output.case === "chat" && output.value.messages).toMatchObject([
      { role: "system", content: '{json} {n} {"a":[true,null],"b":1}' },
      { role: "user", content: "{who} {{n}}" },
    ]);
    expect(resolution).toMatchObject({ name: "chat", version: 1 });
  });

  it("takes the names that JavaScript keeps for itself", async () => {
    await createText("p", "{{constructor}} {{toString}} {{__proto__}}");
    const missing = await prompts
      .compile({ name: "p", variables: {} })
      .catch((e) => ConnectError.from(e));
    expect((missing as ConnectError).rawMessage).toMatch(/constructor.*toString.*__proto__/);
    const variables = { constructor: "c", toString: "t" };
    const { output } = await prompts.compile({
      name: "p",
      variables,
      missingVariables: MissingVariables.KEEP,
    });
    expect(output.value).toBe("c t {{__proto__}}");
  });

  it("is bounded in what it puts out", async () => {
    await createText("p", "{{x}}".repeat(1000));
    const x = (bytes: number) => ({ name: "p", variables: { x: "x".repeat(bytes) } });
    expect((await prompts.compile(x(3145))).output.value).toHaveLength(3_145_000);
    expect(await codeOf(prompts.compile(x(3146)))).toBe("InvalidArgument");
  });

  it("refuses what JSON cannot hold, and nesting beyond 32 levels", async () => {
    await createText("p", "{{x}}");
    const nested = (levels: number) =>
      Array.from({ length: levels - 1 }).reduce<never>(
        (inner) => [inner] as never,
        "deep" as never,
      );
    expect(await codeOf(prompts.compile({ name: "p", variables: { x: nested(32) } }))).toBe("OK");
    expect(await codeOf(prompts.compile({ name: "p", variables: { x: nested(33) } }))).toBe(
      "InvalidArgument",
    );
    expect(await codeOf(prompts.compile({ name: "p", variables: { x: Number.NaN } }))).not.toBe(
      "OK",
    );
  });
});

describe("lists", () => {
  it("page through everything once, with filters", async () => {
    for (const name of ["a", "folder/b", "folder/c", "folder2/d", "é"])
      await createText(name, name);
    await prompts.setTags({ name: "folder/c", tags: ["t"] });
    const names: string[] = [];
    let pageToken = "";
    do {
      const page = await prompts.listPrompts({ pageSize: 2, pageToken });
      names.push(...page.prompts.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(names).toEqual(["a", "folder/b", "folder/c", "folder2/d", "é"]);
    const inFolder = await prompts.listPrompts({ folder: "folder" });
    expect(inFolder.prompts.map(({ name }) => name)).toEqual(["folder/b", "folder/c"]);
    expect((await prompts.listPrompts({ tag: "t" })).prompts).toHaveLength(1);
    expect((await prompts.listPrompts({ label: "nope" })).prompts).toHaveLength(0);
  });

  it("refuse a page size above 200 and a token that is none", async () => {
    await createText("a", "A");
    expect(await codeOf(prompts.listPrompts({ pageSize: 200 }))).toBe("OK");
    expect(await codeOf(prompts.listPrompts({ pageSize: 201 }))).toBe("InvalidArgument");
    for (const pageToken of ["?", "bnVsbA", "eyJhIjoxfQ", "MS41"]) {
      expect(await codeOf(prompts.listPrompts({ pageToken }))).toBe("InvalidArgument");
      expect(await codeOf(prompts.listVersions({ name: "a", pageToken }))).toBe("InvalidArgument");
      expect(await codeOf(service.changes.listChanges({ pageToken }))).toBe("InvalidArgument");
    }
  });

  it("tell the history, newest first", async () => {
    await createText("a", "A");
    await createText("b", "B");
    await prompts.setLabels({
      name: "a",
      moves: [{ label: "production", version: 0 }],
      reason: "why",
    });
    const first = await service.changes.listChanges({ pageSize: 2 });
    const rest = await service.changes.listChanges({ pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.changes, ...rest.changes].map(({ revision }) => revision)).toEqual([
      3n,
      2n,
      1n,
    ]);
    expect(first.changes[0]).toMatchObject({
      name: "a",
      reason: "why",
      actor: "anonymous",
      labels: [{ label: "production", fromVersion: 1, toVersion: 0 }],
    });
    expect((await service.changes.listChanges({ name: "b" })).changes).toHaveLength(1);
    expect((await service.changes.listChanges({ afterRevision: 2n })).changes).toHaveLength(1);
  });
});

describe("mutations", () => {
  it("put back any SetLabels by its answer's previous", async () => {
    await createText("p", "one", ["a", "b"]);
    await createText("p", "two", ["c"]);
    const before = await labelsOf("p");
    const moves = [
      { label: "a", version: 2 },
      { label: "b", version: 0 },
      { label: "new", version: 1 },
    ];
    const { previous, revision } = await prompts.setLabels({ name: "p", moves });
    expect(await labelsOf("p")).not.toEqual(before);
    await prompts.setLabels({ name: "p", moves: previous, expectedRevision: revision });
    expect(await labelsOf("p")).toEqual(before);
  });

  it("of labels bring every caller back, whatever the rollout", async () => {
    const { prompts } = service;
    const version = (value: string, labels: string[] = []) =>
      prompts.createVersion({ name: "split", template: { case: "text", value }, labels });
    await version("one", ["production"]);
    await version("two");
    const answer = async () => {
      const asked = { name: "split", userId: "vip\u0000" };
      const { prompt, resolution } = await prompts.getPrompt(asked);
      return [prompt?.version, resolution?.arm];
    };
    const begin = async () => {
      await putRollout(service, canary("split"));
      await expect.poll(answer).toEqual([2, "canary"]);
    };
    const moves = [{ label: "production", version: 1 }];
    await begin();
    const kept = await prompts.setLabels({ name: "split", moves, keepRollout: true });
    expect(kept.abortedRollouts).toEqual([]);
    expect(await answer()).toEqual([2, "canary"]);
    const { abortedRollouts } = await prompts.setLabels({ name: "split", moves });
    expect(abortedRollouts).toEqual(["production"]);
    expect(await answer()).toEqual([1, ""]);

    await begin();
    expect((await version("three", ["production"])).abortedRollouts).toEqual(["production"]);
    expect(await answer()).toEqual([3, ""]);
    await begin();
    const deleted = await prompts.deleteVersions({ name: "split", versions: [3] });
    expect(deleted.abortedRollouts).toEqual(["production"]);
  });

  it("are ABORTED on a wrong expectation, change nothing, and are not disturbed by other prompts", async () => {
    const { revision } = await createText("p", "one");
    await createText("other", "changes the database's revision");
    const moves = [{ label: "x", version: 1 }];
    for (const expectedRevision of [0n, revision + 1n, 999n]) {
      const edit = { name: "p", expectedRevision };
      expect(await codeOf(prompts.setLabels({ ...edit, moves }))).toBe("Aborted");
      expect(await codeOf(prompts.setTags({ ...edit, tags: ["t"] }))).toBe("Aborted");
      expect(await codeOf(prompts.deleteVersions({ ...edit, all: true }))).toBe("Aborted");
    }
    const template = { case: "text" as const, value: "two" };
    for (const expectedLatestVersion of [0, 2]) {
      const call = prompts.createVersion({ name: "p", template, expectedLatestVersion });
      expect(await codeOf(call)).toBe("Aborted");
    }
    expect((await service.changes.listChanges({ name: "p" })).changes).toHaveLength(1);
    expect(await codeOf(prompts.setLabels({ name: "p", moves, expectedRevision: revision }))).toBe(
      "OK",
    );
  });

  it("name every field that is wrong at once", async () => {
    const call = prompts.createVersion({
      name: "a|b",
      template: { case: "text", value: "x" },
      labels: ["no", "Bad"],
      tags: [""],
      commitMessage: "x".repeat(501),
    });
    const error = ConnectError.from(await call.catch((thrown) => thrown));
    expect(error.rawMessage).toMatch(/name: .*labels\[1\]: .*tags\[0\]: .*commit_message: /);
  });
});

async function labelsOf(name: string): Promise<unknown> {
  const { versions } = await prompts.listVersions({ name });
  return versions.map(({ version, labels }) => ({ version, labels }));
}
