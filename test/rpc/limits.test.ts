import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChatMessagesSchema } from "../../gen/promptd/v1/prompt_pb.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let prompts: TestService["prompts"];

beforeAll(async () => {
  service = await startService();
  prompts = service.prompts;
  await createText("p", "{{x}}");
});

afterAll(() => service.close());

const createText = (name: string, text: string, more: object = {}) =>
  prompts.createVersion({
    name,
    template: { case: "text", value: text },
    labels: ["production"],
    ...more,
  });

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "OK",
    (thrown) => Code[ConnectError.from(thrown).code],
  );
}

/** The same through Connect's JSON. */
async function jsonCode(method: string, request: unknown): Promise<string> {
  const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/${method}`;
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(request) });
  const { code = "OK" } = (await response.json()) as { code?: string };
  return code;
}

const chat = (count: number, item: object) => ({
  template: { case: "chat" as const, value: { items: Array(count).fill({ item }) } },
});
const message = (content: string, role = "user") => ({
  case: "message" as const,
  value: { role, content },
});
const KIB = 1024;
const MIB = 1024 * 1024;

/** Requests at the edge of a documented limit, and just beyond it. */
const EDGES: [limit: string, within: () => Promise<unknown>, beyond: () => Promise<unknown>][] = [
  ["name", () => createText("n".repeat(512), ""), () => createText("n".repeat(513), "")],
  [
    "label",
    () => createText("p", "", { labels: ["l".repeat(36)] }),
    () => createText("p", "", { labels: ["l".repeat(37)] }),
  ],
  [
    "labels of a request",
    () => createText("many", "", { labels: Array.from({ length: 100 }, (_, i) => `l${i}`) }),
    () => createText("many", "", { labels: Array.from({ length: 101 }, (_, i) => `l${i}`) }),
  ],
  [
    "user id",
    () => prompts.getPrompt({ name: "p", userId: "u".repeat(1024) }),
    () => prompts.getPrompt({ name: "p", userId: "u".repeat(1025) }),
  ],
  [
    "commit message",
    () => createText("p", "", { commitMessage: "🙂".repeat(500) }),
    () => createText("p", "", { commitMessage: "🙂".repeat(501) }),
  ],
  [
    "tags",
    () => prompts.setTags({ name: "p", tags: Array.from({ length: 50 }, (_, i) => `${i}`) }),
    () => prompts.setTags({ name: "p", tags: Array(51).fill("t") }),
  ],
  [
    "tag",
    () => prompts.setTags({ name: "p", tags: ["t".repeat(100)] }),
    () => prompts.setTags({ name: "p", tags: ["t".repeat(101)] }),
  ],
  [
    "template",
    () => createText("large", "x".repeat(MIB)),
    () => createText("large", "x".repeat(MIB + 1)),
  ],
  [
    "chat items",
    () => prompts.createVersion({ name: "items", ...chat(1000, message("")) }),
    () => prompts.createVersion({ name: "items", ...chat(1001, message("")) }),
  ],
  [
    "role",
    () => prompts.createVersion({ name: "role", ...chat(1, message("", "r".repeat(64))) }),
    () => prompts.createVersion({ name: "role", ...chat(1, message("", "r".repeat(65))) }),
  ],
  [
    "config",
    () => withConfig("x".repeat(128 * 1024 - 2)),
    () => withConfig("x".repeat(128 * 1024 - 1)),
  ],
  ["moves", () => setLabels(100), () => setLabels(101)],
  [
    "deleted versions",
    () => prompts.deleteVersions({ name: "none", versions: versions(1000) }).catch(notFoundIsFine),
    () => prompts.deleteVersions({ name: "none", versions: versions(1001) }),
  ],
  ["messages of a placeholder", () => compileHistory(10_000), () => compileHistory(10_001)],
];

const withConfig = (text: string) =>
  createText("config", "", { config: { kind: { case: "stringValue", value: text } } });
const versions = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const setLabels = (count: number) =>
  prompts.setLabels({
    name: "p",
    moves: versions(count).map((i) => ({ label: `m${i}`, version: 1 })),
  });

function notFoundIsFine(thrown: unknown): void {
  if (ConnectError.from(thrown).code !== Code.NotFound) throw thrown;
}

async function compileHistory(count: number): Promise<unknown> {
  const items = [{ item: { case: "placeholder" as const, value: { name: "history" } } }];
  const template = { case: "chat" as const, value: { items } };
  await prompts.createVersion({ name: "history", template, labels: ["production"] });
  const messages = Array(count).fill({ role: "u", content: "" });
  const history = create(ChatMessagesSchema, { messages });
  return prompts.compile({ name: "history", placeholders: { history } });
}

describe("each limit", () => {
  it.each(EDGES)("holds at both edges: %s", async (_, within, beyond) => {
    expect(await codeOf(within())).toBe("OK");
    expect(await codeOf(beyond())).toBe("InvalidArgument");
  });

  it("is the same in JSON", async () => {
    expect(await jsonCode("GetPrompt", { name: "p", userId: "u".repeat(1024) })).toBe("OK");
    expect(await jsonCode("GetPrompt", { name: "p", userId: "u".repeat(1025) })).toBe(
      "invalid_argument",
    );
    expect(await jsonCode("CreateVersion", { name: "large", text: "y".repeat(MIB) })).toBe("OK");
    expect(await jsonCode("CreateVersion", { name: "large", text: "y".repeat(MIB + 1) })).toBe(
      "invalid_argument",
    );
    expect(await jsonCode("ListPrompts", { pageSize: 200 })).toBe("OK");
    expect(await jsonCode("ListPrompts", { pageSize: 201 })).toBe("invalid_argument");
  });
});

describe("composition", () => {
  const tag = (name: string) => `@@@langfusePrompt:name=${name}|version=1@@@`;

  it("takes a hundred different tags, and refuses tens of thousands as fast", async () => {
    for (let i = 0; i < 100; i++) await createText(`c${i}`, "x");
    const tags = (count: number) =>
      versions(count)
        .map((i) => tag(`c${i - 1}`))
        .join("");
    expect(await codeOf(createText("composed", tags(100)))).toBe("OK");
    expect(await codeOf(createText("composed", tags(101)))).toBe("InvalidArgument");
    expect(await codeOf(createText("composed", tags(20_000)))).toBe("InvalidArgument");
  });

  it("goes five levels deep", async () => {
    await createText("d0", "leaf");
    for (let i = 1; i <= 5; i++) await createText(`d${i}`, tag(`d${i - 1}`));
    expect(await codeOf(createText("d6", tag("d5")))).toBe("FailedPrecondition");
    const { prompt } = await prompts.getPrompt({ name: "d5" });
    expect(prompt?.template.value).toBe("leaf");
  });

  it("stays within 1 MiB", async () => {
    await createText("half", "x".repeat(MIB / 2));
    expect(await codeOf(createText("twice", tag("half") + tag("half")))).toBe("OK");
    expect(await codeOf(createText("twice", `${tag("half") + tag("half")}!`))).toBe(
      "FailedPrecondition",
    );
  });
});

describe("small requests do no large work", () => {
  it("names of 200 KiB are refused by their length", async () => {
    const call = prompts.getPrompt({ name: "<".repeat(200 * KIB) });
    expect(ConnectError.from(await call.catch((e) => e)).rawMessage).toBe(
      `name: expected at most 512 bytes, found ${200 * KIB}`,
    );
  });

  it("requests of methods that ask for little are refused above 256 KiB", async () => {
    const request = { name: "p", userId: "x".repeat(300 * KIB) };
    expect(await codeOf(prompts.getPrompt(request))).toBe("ResourceExhausted");
    expect(await jsonCode("GetPrompt", request)).toBe("resource_exhausted");
  });

  it("hundreds of thousands of wrong items are refused by their number", async () => {
    const labels = Array(150_000).fill("");
    expect(await codeOf(createText("p", "", { labels }))).toBe("InvalidArgument");
    const call = prompts.deleteVersions({ name: "p", versions: Array(250_000).fill(0) });
    expect(await codeOf(call)).toBe("InvalidArgument");
  });

  it("more elements than would fit into memory are not decoded", async () => {
    const many = Array.from({ length: 250_000 }, (_, i) => [`${i}`, 0]);
    const variables = Object.fromEntries(many);
    expect(await codeOf(prompts.compile({ name: "p", variables }))).toBe("ResourceExhausted");
    expect(await jsonCode("Compile", { name: "p", variables: { x: Array(250_000).fill(0) } })).toBe(
      "resource_exhausted",
    );
    const text = ",[{".repeat(250_000);
    expect(await jsonCode("Compile", { name: "p", variables: { x: text } })).toBe("OK");
  });

  it("a placeholder that stands a thousand times does not multiply messages", async () => {
    await prompts.createVersion({
      name: "multiplied",
      labels: ["production"],
      ...chat(1000, { case: "placeholder", value: { name: "h" } }),
    });
    const h = (count: number) =>
      create(ChatMessagesSchema, { messages: Array(count).fill({ role: "u", content: "" }) });
    const compile = (count: number) =>
      prompts.compile({ name: "multiplied", placeholders: { h: h(count) } });
    expect((await compile(10)).output.value).toMatchObject({ messages: { length: 10_000 } });
    expect(await codeOf(compile(11))).toBe("InvalidArgument");
  });

  it("a hundred thousand missing variables are an error of a kilobyte", async () => {
    await createText(
      "variables",
      versions(100_000)
        .map((i) => `{{v${i}}}`)
        .join(""),
    );
    const error = ConnectError.from(await prompts.compile({ name: "variables" }).catch((e) => e));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(Buffer.byteLength(error.rawMessage)).toBeLessThanOrEqual(1024);
  });
});

describe("odd but legal", () => {
  it("a folder may be called as no prompt may be", async () => {
    await createText("new/x", "x");
    const { prompts: found } = await prompts.listPrompts({ folder: "new" });
    expect(found.map(({ name }) => name)).toEqual(["new/x"]);
  });

  it("filters and tokens that hold what no name or tag holds are refused", async () => {
    const pageToken = Buffer.from('"\\u0000"').toString("base64url");
    expect(await codeOf(prompts.listPrompts({ pageToken }))).toBe("InvalidArgument");
    expect(await codeOf(prompts.listPrompts({ tag: "\u0000" }))).toBe("InvalidArgument");
  });

  it("a key that would be lost is refused", async () => {
    for (const config of ['{"__proto__":{"a":1}}', '[{"b":{"__proto__":1}}]']) {
      const request = `{"name":"proto","text":"","config":${config}}`;
      const url = `http://127.0.0.1:${service.httpPort}/promptd.v1.PromptService/CreateVersion`;
      const headers = { "content-type": "application/json" };
      const response = await fetch(url, { method: "POST", headers, body: request });
      expect(response.status).toBe(400);
    }
  });

  it("a page ends early where its prompts are too heavy to be read at once", async () => {
    const tags = Array.from({ length: 50 }, (_, i) => `${i}${"🙂".repeat(97)}`);
    for (let i = 0; i < 200; i++) await createText(`heavy/${i}`, "x", { tags });
    const names = new Set<string>();
    let pageToken = "";
    let pages = 0;
    do {
      const page = await prompts.listPrompts({ folder: "heavy", pageSize: 200, pageToken });
      for (const { name } of page.prompts) names.add(name);
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken !== "");
    expect(names.size).toBe(200);
    expect(pages).toBe(2);
    let changes = 0;
    do {
      const page = await service.changes.listChanges({ pageSize: 200, pageToken });
      changes += page.changes.length;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(changes).toBeGreaterThan(200);
  });
});
