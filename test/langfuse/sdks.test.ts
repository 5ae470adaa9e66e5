import { LangfuseClient } from "@langfuse/client";
import { Langfuse } from "langfuse";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBehind } from "./behind.ts";
import { type LangfuseService, startWithKeys } from "./service.ts";

/** What a service does with prompts, in the words of one of Langfuse's SDKs, its cache off. */
interface Sdk {
  createText(name: string, text: string, labels?: string[]): Promise<{ version: number }>;
  createChat(name: string): Promise<{ version: number }>;
  text(name: string, which?: Which): Promise<Text>;
  chat(name: string): Promise<Chat>;
  label(name: string, version: number, labels: string[]): Promise<unknown>;
  list(name: string): Promise<{ name: string; versions: number[]; labels: string[] }[]>;
  remove(name: string): Promise<unknown>;
}

interface Which {
  version?: number;
  label?: string;
  fallback?: string;
}

interface Text {
  prompt: string;
  version: number;
  labels: string[];
  isFallback: boolean;
  compile(variables?: Record<string, string>): string;
}

interface Chat {
  compile(
    variables: Record<string, string>,
    placeholders: Record<string, { role: string; content: string }[]>,
  ): unknown;
}

const CHAT = [
  { role: "system", content: "You serve {{product}}." },
  { type: "placeholder" as const, name: "history" },
  { role: "user", content: "{{question}}" },
];

const FRESH = { cacheTtlSeconds: 0, maxRetries: 0, fetchTimeoutMs: 5000 };

function version3(service: LangfuseService): Sdk {
  const client = new Langfuse({ ...service.admin, baseUrl: service.baseUrl, enabled: true });
  return {
    createText: (name, prompt, labels = []) =>
      client.createPrompt({ name, prompt, labels, type: "text" }),
    createChat: (name) =>
      client.createPrompt({ name, type: "chat", prompt: CHAT, labels: ["production"] }),
    text: (name, { version, ...options } = {}) =>
      client.getPrompt(name, version, { ...FRESH, ...options, type: "text" }),
    chat: (name) => client.getPrompt(name, undefined, { ...FRESH, type: "chat" }),
    label: (name, version, newLabels) => client.updatePrompt({ name, version, newLabels }),
    list: async (name) => (await client.api.promptsList({ name })).data,
    // The SDK has no call for it.
    remove: (name) => service.call(`/v2/prompts/${encodeURIComponent(name)}`, { method: "DELETE" }),
  };
}

function version5(service: LangfuseService): Sdk {
  const client = new LangfuseClient({ ...service.admin, baseUrl: service.baseUrl });
  return {
    createText: (name, prompt, labels = []) => client.prompt.create({ name, prompt, labels }),
    createChat: (name) =>
      client.prompt.create({ name, type: "chat", prompt: CHAT, labels: ["production"] }),
    text: (name, options = {}) => client.prompt.get(name, { ...FRESH, ...options, type: "text" }),
    chat: (name) => client.prompt.get(name, { ...FRESH, type: "chat" }),
    label: (name, version, newLabels) => client.prompt.update({ name, version, newLabels }),
    list: async (name) => (await client.api.prompts.list({ name })).data,
    remove: (name) => client.prompt.delete(name),
  };
}

describe.each([
  ["langfuse 3", version3, "a promptd", startWithKeys],
  ["@langfuse/client 5", version5, "a promptd", startWithKeys],
  ["langfuse 3", version3, "a promptd in front of another one", startBehind],
  ["@langfuse/client 5", version5, "a promptd in front of another one", startBehind],
])("with the SDK $0 on $2", (_, connect, __, start) => {
  let service: LangfuseService;
  let sdk: Sdk;

  beforeAll(async () => {
    service = await start();
    sdk = connect(service);
  });

  afterAll(() => service.close());

  it("a text is created, found by label and by version, and compiled", async () => {
    expect((await sdk.createText("greet", "Hello {{name}}", ["production"])).version).toBe(1);
    expect((await sdk.createText("greet", "Hello {{name}}")).version).toBe(2);
    const prompt = await sdk.text("greet");
    expect(prompt).toMatchObject({ version: 1, prompt: "Hello {{name}}", isFallback: false });
    expect(prompt.compile({ name: "Ada" })).toBe("Hello Ada");
    expect((await sdk.text("greet", { label: "latest" })).version).toBe(2);
    expect((await sdk.text("greet", { version: 2 })).labels).toEqual(["latest"]);
  });

  it("a chat with placeholders is created and compiled", async () => {
    expect((await sdk.createChat("chat")).version).toBe(1);
    const history = [{ role: "assistant", content: "Hi" }];
    const compiled = (await sdk.chat("chat")).compile(
      { product: "X", question: "Y?" },
      { history },
    );
    expect(compiled).toMatchObject([
      { role: "system", content: "You serve X." },
      { role: "assistant", content: "Hi" },
      { role: "user", content: "Y?" },
    ]);
  });

  it("a label is moved", async () => {
    for (const text of ["one", "two"]) await sdk.createText("moved", text);
    await sdk.label("moved", 1, ["production", "canary"]);
    expect((await sdk.text("moved")).prompt).toBe("one");
    await sdk.label("moved", 2, ["production"]);
    expect((await sdk.text("moved")).prompt).toBe("two");
    expect((await sdk.text("moved", { label: "canary" })).prompt).toBe("one");
  });

  it("names hold folders and letters of all languages", async () => {
    const name = "support/antwort für/日本 100%";
    await sdk.createText(name, "grüezi", ["production"]);
    expect((await sdk.text(name)).prompt).toBe("grüezi");
    await sdk.label(name, 1, ["canary"]);
    expect(await sdk.list(name)).toMatchObject([
      { name, versions: [1], labels: ["canary", "latest", "production"] },
    ]);
    await sdk.remove(name);
    expect(await sdk.list(name)).toEqual([]);
    await expect(sdk.text(name)).rejects.toThrow();
  });

  it("an included prompt stands in the text", async () => {
    await sdk.createText("rules", "Be brief.", ["production"]);
    const tag = "@@@langfusePrompt:name=rules|label=production@@@";
    await sdk.createText("with-rules", `${tag} Now {{task}}.`, ["production"]);
    expect((await sdk.text("with-rules")).compile({ task: "go" })).toBe("Be brief. Now go.");
  });

  it("the fallback answers once promptd is down", async () => {
    await sdk.createText("kept", "from promptd", ["production"]);
    expect((await sdk.text("kept", { fallback: "from the service" })).prompt).toBe("from promptd");
    await service.runtime.close();
    expect(await sdk.text("kept", { fallback: "from the service" })).toMatchObject({
      prompt: "from the service",
      isFallback: true,
    });
  });
});
