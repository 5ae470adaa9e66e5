import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  connectClient,
  curlClient,
  grpcWebClient,
  type Json,
  type NeutralClient,
  protoLoaderClient,
  type Seen,
} from "../support/clients.ts";
import { hasCurl, SKIPPED_WITHOUT_CURL } from "../support/curl.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let clients: NeutralClient[];

beforeAll(async () => {
  service = await startService();
  clients = [
    protoLoaderClient(service.grpcPort),
    connectClient(service.httpPort),
    grpcWebClient(service.httpPort),
    ...(hasCurl ? [curlClient(service.httpPort)] : []),
  ];
  const { prompts } = service;
  await prompts.createVersion({
    name: "text",
    template: { case: "text", value: "Hello {{name}}, π ≈ {{pi}} {{data}} 🙂" },
    config: { kind: { case: "structValue", value: { fields: {} } } },
    labels: ["production", "staging"],
    tags: ["b", "a"],
    commitMessage: "first",
  });
  await prompts.createVersion({
    name: "chat",
    template: {
      case: "chat",
      value: {
        items: [
          { item: { case: "message", value: { role: "system", content: "You are {{who}}." } } },
          { item: { case: "placeholder", value: { name: "history" } } },
        ],
      },
    },
    labels: ["production"],
  });
});

afterAll(async () => {
  for (const client of clients) client.close();
  await service.close();
});

/** Asks the same of every client, and expects one answer. */
async function seenByAll(method: string, request: Json): Promise<Seen> {
  const seen = await Promise.all(clients.map((client) => client.call(method, request)));
  const [first, ...rest] = seen.map(withoutResolution);
  rest.forEach((other, index) => {
    expect(other, clients[index + 1]?.name).toEqual(first);
  });
  return first as Seen;
}

/** Each resolution has an id of its own, and the first of them is from another tier than the next. */
function withoutResolution(seen: Seen): Seen {
  const own = new Set(["id", "tier", "ageMs"]);
  return JSON.parse(JSON.stringify(seen, (key, value) => (own.has(key) ? undefined : value)));
}

describe("four clients", () => {
  it.skipIf(!hasCurl)(`are four${SKIPPED_WITHOUT_CURL}`, () => {
    expect(clients).toHaveLength(4);
  });

  it.each<[string, Json]>([
    ["getPrompt", { name: "text" }],
    ["getPrompt", { name: "text", version: 1, userId: "José" }],
    ["getPrompt", { name: "chat", label: "latest", raw: true }],
    ["batchGetPrompts", { requests: [{ name: "text" }, { name: "nope" }, { name: "chat" }] }],
    [
      "compile",
      { name: "text", variables: { name: "Ä", pi: 3.14, data: { b: [1, null], a: true } } },
    ],
    ["compile", { name: "text", missingVariables: "MISSING_VARIABLES_KEEP" }],
    [
      "compile",
      {
        name: "chat",
        variables: { who: "{{who}}" },
        placeholders: { history: { messages: [{ role: "user", content: "{{x}}" }] } },
      },
    ],
    ["listPrompts", { pageSize: 1 }],
    ["listVersions", { name: "text" }],
  ])("get the same answer to %s %j", async (method, request) => {
    const seen = await seenByAll(method, request);
    expect(seen).toHaveProperty("ok");
  });

  it.each<[string, string, Json]>([
    ["NOT_FOUND", "getPrompt", { name: "nope" }],
    ["NOT_FOUND", "getPrompt", { name: "text", version: 9 }],
    ["NOT_FOUND", "getPrompt", { name: "text", label: "nope" }],
    ["INVALID_ARGUMENT", "getPrompt", { name: "a|b" }],
    ["INVALID_ARGUMENT", "getPrompt", { name: "text", version: 0 }],
    ["INVALID_ARGUMENT", "getPrompt", { name: "text", label: "Not A Label" }],
    ["INVALID_ARGUMENT", "compile", { name: "text" }],
    ["INVALID_ARGUMENT", "batchGetPrompts", {}],
    ["INVALID_ARGUMENT", "listPrompts", { pageToken: "?" }],
    ["INVALID_ARGUMENT", "createVersion", { name: "text" }],
    [
      "ABORTED",
      "setLabels",
      { name: "text", moves: [{ label: "x", version: 1 }], expectedRevision: "999" },
    ],
    ["ABORTED", "createVersion", { name: "text", text: "x", expectedLatestVersion: 7 }],
    ["FAILED_PRECONDITION", "createVersion", { name: "chat", text: "now a text" }],
    [
      "FAILED_PRECONDITION",
      "createVersion",
      { name: "p", text: "@@@langfusePrompt:name=nope|version=1@@@" },
    ],
    ["RESOURCE_EXHAUSTED", "createVersion", { name: "text", text: "x".repeat(5 * 1024 * 1024) }],
  ])("get %s from %s", async (code, method, request) => {
    if (code === "RESOURCE_EXHAUSTED") {
      // The transports word this themselves, before promptd sees it; curl's argument would be too long.
      for (const client of clients.filter(({ name }) => name !== "curl")) {
        expect(await client.call(method, request), client.name).toHaveProperty("error", code);
      }
    } else {
      expect(await seenByAll(method, request)).toMatchObject({ error: code });
    }
  });
});
