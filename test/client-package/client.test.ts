import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import {
  type ClientOptions,
  createPromptdClient,
  type PromptdClient,
  type PromptdError,
} from "../../packages/client/src/index.ts";
import { backup, restore } from "../../src/store/backup.ts";
import { tcpProxy } from "../support/faulty-proxy.ts";
import { freePort } from "../support/ports.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let clients: PromptdClient[];

beforeEach(async () => {
  service = await startService();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await service.close();
});

function open(options: ClientOptions = {}): PromptdClient {
  const client = createPromptdClient({ address: service.runtime.grpcAddress, ...options });
  clients.push(client);
  return client;
}

const create = (name: string, value: string, labels = ["production"]) =>
  service.prompts.createVersion({ name, template: { case: "text", value }, labels });

const textOf = (client: PromptdClient, name: string) => client.get(name).body.template;

async function thrownBy(call: () => unknown): Promise<PromptdError> {
  try {
    await call();
  } catch (thrown) {
    return thrown as PromptdError;
  }
  throw new Error("nothing was thrown");
}

/** A service that is nowhere. */
const nowhere = async () => `127.0.0.1:${await freePort()}`;

describe("what is watched", () => {
  it("is there once the client is ready, and what is not there is named", async () => {
    await create("a", "one");
    await create("b", "two", ["staging"]);
    const client = open({
      prompts: ["a", { name: "b", label: "staging" }, { name: "a", version: 1 }],
    });
    await client.ready();
    expect(textOf(client, "a")).toBe("one");
    expect(client.get("b", { label: "staging" }).body.template).toBe("two");
    expect(client.get("a", { version: 1 }).resolution.reason).toBe("version");
    const lacking = open({ prompts: ["a", "b", "c"] });
    const error = await thrownBy(() => lacking.ready());
    expect(error.code).toBe("not_found");
    expect(error.message).toMatch(/"b": .*staging.*"c": /);
    expect(error.message).not.toContain('"a":');
    expect(textOf(lacking, "a")).toBe("one");
  });

  it("is told to be missing where the service does not answer in time", async () => {
    const client = open({ address: await nowhere(), prompts: ["a", { name: "b", label: "x" }] });
    const error = await thrownBy(() => client.ready({ timeoutMs: 300 }));
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(/"a", "b" label x.*no promptd at/);
    expect((await thrownBy(() => client.get("a"))).code).toBe("unavailable");
  });

  it("is waited for no longer than until the client is closed", async () => {
    const client = open({ address: await nowhere(), prompts: ["a"] });
    const waited = thrownBy(() => client.ready({ timeoutMs: 60_000 }));
    await client.close();
    for (const error of [await waited, await thrownBy(() => client.load("b"))]) {
      expect(error).toMatchObject({ code: "unavailable", message: "the client was closed" });
    }
  });

  it("is asked for under another name in vain, until it is loaded", async () => {
    await create("a", "one");
    await create("b", "two");
    const client = open({ prompts: ["a"] });
    await client.ready();
    for (const call of [() => client.get("b"), () => client.get("a", { label: "latest" })]) {
      const error = await thrownBy(call);
      expect(error).toMatchObject({ code: "unavailable" });
      expect(error.message).toContain("load()");
    }
    expect((await client.load("b")).body.template).toBe("two");
    expect((await client.load("a", { label: "latest" })).version).toBe(1);
    await create("b", "three");
    await vi.waitFor(() => expect(textOf(client, "b")).toBe("three"));
    for (const wrong of [{ version: 0 }, { version: 1.5 }, { version: 2 ** 32 }, { label: "" }]) {
      expect((await thrownBy(() => client.load("a", wrong))).code).toBe("invalid");
    }
    expect((await thrownBy(() => client.load("a|b"))).code).toBe("invalid");
    expect((await thrownBy(() => client.get("a", { userId: "\ud800" }))).code).toBe("invalid");
  });

  it("may be more than fits into a stream, and come one by one", async () => {
    const names = Array.from({ length: 120 }, (_, index) => `p${index}`);
    for (const name of names) await create(name, `text of ${name}`);
    const client = open({ prompts: names.slice(0, 90) });
    await client.ready();
    const loaded = await Promise.all(names.map((name) => client.load(name)));
    expect(loaded.map(({ body }) => body.template)).toEqual(names.map((name) => `text of ${name}`));
    const prompts = names.flatMap((name) => [client.get(name)]);
    expect(prompts.filter(({ stale }) => stale)).toEqual([]);
    const watchers = async () => {
      const metrics = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
      return /^promptd_watchers (\d+)$/m.exec(await metrics.text())?.[1];
    };
    await vi.waitFor(async () => expect(await watchers()).toBe("2"));
    for (const name of ["p0", "p95", "p119"]) {
      await create(name, "new");
      await vi.waitFor(() => expect(textOf(client, name)).toBe("new"));
    }
  });

  it("cannot be changed by one caller for others", async () => {
    await create("a", "one");
    const client = open({ prompts: ["a"] });
    await client.ready();
    const { body, labels, resolution } = client.get("a");
    expect(Object.isFrozen(body) && Object.isFrozen(body.config) && Object.isFrozen(labels)).toBe(
      true,
    );
    expect(Object.isFrozen(resolution)).toBe(true);
  });

  it("is there also where its arms do not fit into a message", async () => {
    const texts = ["v", "w", "x", "y", "z"].map((letter) => letter.repeat(1024 * 1024));
    for (const text of texts) await create("a", text, []);
    await service.prompts.setLabels({ name: "a", moves: [{ label: "production", version: 1 }] });
    const versions = [2, 3, 4, 5];
    const target = (value: number) => ({ case: "version" as const, value });
    await service.rollouts.setRollout({
      name: "a",
      definition: {
        arms: versions.map((version) => ({
          name: `v${version}`,
          target: target(version),
          weight: 1,
        })),
        overrides: versions.map((version) => ({ userId: `u${version}`, arm: `v${version}` })),
      },
    });
    const client = open({ prompts: ["a"] });
    await client.ready();
    for (const version of versions) {
      const given = client.get("a", { userId: `u${version}` });
      expect(given.resolution.arm).toBe(`v${version}`);
      expect(given.body.template).toBe(texts[version - 1]);
    }
  });
});

describe("a fallback value", () => {
  it("answers where nothing is known, and no longer", async () => {
    const template = [{ type: "chatmessage", role: "user", content: "{who}" }] as const;
    const client = open({
      address: await nowhere(),
      fallbacks: { a: "text {{who}}", c: { type: "chat", format: "fstring", template, config: 1 } },
    });
    const prompt = client.get("a", { userId: "u" });
    expect(prompt).toMatchObject({ name: "a", version: 0, stale: true, ageMs: undefined });
    expect(prompt.resolution).toMatchObject({
      ...{ reason: "fallback", tier: "fallback", label: "production", traceAttributes: {} },
    });
    expect(client.compile("a", { variables: { who: "me" } }).text).toBe("text me");
    const chat = client.compile("c", { variables: { who: "me" } });
    expect([chat.messages, chat.config]).toEqual([[{ role: "user", content: "me" }], 1]);
    expect((await client.load("a", { label: "staging", timeoutMs: 100 })).version).toBe(0);
    expect((await thrownBy(() => client.load("a", { version: 1, timeoutMs: 100 }))).code).toBe(
      "unavailable",
    );
  });

  it("answers in the place of a prompt that is not there, until it is", async () => {
    const client = open({ fallbacks: { a: "of the code" } });
    expect((await thrownBy(() => client.ready())).code).toBe("not_found");
    expect(client.get("a").resolution.reason).toBe("fallback");
    await create("a", "of the service");
    await vi.waitFor(() => expect(textOf(client, "a")).toBe("of the service"));
    await service.prompts.deleteVersions({ name: "a", all: true });
    await vi.waitFor(() => expect(textOf(client, "a")).toBe("of the code"));
  });

  it.each<[string, ClientOptions["fallbacks"]]>([
    ["format", { a: { format: "fstring", template: "{" } }],
    ["body", { a: { type: "chat", template: [] } }],
    ["name", { "a|b": "text" }],
  ])("is refused at once for its %s", async (_, fallbacks) => {
    const error = await thrownBy(() => open({ ...(fallbacks && { fallbacks }) }));
    expect(error.code).toBe("invalid");
  });
});

describe("a connection", () => {
  it("that breaks leaves answers that say how old they are, and goes on where it was", async () => {
    const proxy = await tcpProxy(`http://${service.runtime.grpcAddress}`);
    try {
      await create("a", "one");
      const faults: string[] = [];
      const client = open({
        address: proxy.url,
        prompts: ["a"],
        onFault: ({ code }) => faults.push(code),
      });
      await client.ready();
      expect(client.get("a").stale).toBe(false);
      proxy.fail("cut");
      await vi.waitFor(() => expect(client.get("a").stale).toBe(true));
      const age = client.get("a").ageMs as number;
      await create("a", "two");
      await vi.waitFor(() => expect(client.get("a").ageMs).toBeGreaterThan(age));
      expect(textOf(client, "a")).toBe("one");
      expect(faults).toContain("unavailable");
      proxy.fail(undefined);
      await vi.waitFor(() => expect(textOf(client, "a")).toBe("two"), 15_000);
      expect(client.get("a").stale).toBe(false);
    } finally {
      proxy.close();
    }
  });

  it("tells all anew where the database was restored", async () => {
    const path = join(service.dataDir, "promptd.db");
    const copy = join(service.dataDir, "copy.db");
    await create("a", "one");
    await backup(path, copy);
    await create("a", "two");
    await create("b", "two");
    const client = open({ prompts: ["a", "b"] });
    await client.ready();
    expect(textOf(client, "a")).toBe("two");
    await restore(path, copy);
    await vi.waitFor(() => expect(textOf(client, "a")).toBe("one"), 10_000);
    expect((await thrownBy(() => client.get("b"))).code).toBe("not_found");
  });

  it("to no address is refused at once", async () => {
    expect((await thrownBy(() => open({ address: "a b" }))).code).toBe("invalid");
    const client = open({ prompts: ["a"], tls: { caCert: "none.pem" } });
    const error = await thrownBy(() => client.ready());
    expect(error).toMatchObject({ code: "invalid" });
    expect(error.message).toContain("none.pem");
  });
});

describe("a key", () => {
  const bearer = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });
  const keys = () =>
    createClient(
      KeyService,
      createGrpcTransport({ baseUrl: `http://${service.runtime.grpcAddress}` }),
    );
  let admin: string;

  beforeEach(async () => {
    await create("a", "one");
    await create("b", "two");
    const scopes = [Scope.READ, Scope.WRITE, Scope.RELEASE, Scope.ADMIN];
    admin = (await keys().createKey({ name: "admin", scopes })).secret;
  });

  const newKey = (promptPatterns: string[] = []) =>
    keys().createKey({ name: "k", scopes: [Scope.READ], promptPatterns }, bearer(admin));

  it("that is revoked leaves answers that say that they are stale", async () => {
    const { key, secret } = await newKey();
    const faults: string[] = [];
    const client = open({
      apiKey: secret,
      prompts: ["a"],
      onFault: ({ code }) => faults.push(code),
    });
    await client.ready();
    await keys().revokeKey({ id: key?.id ?? "", reason: "lost" }, bearer(admin));
    await vi.waitFor(() => expect(client.get("a").stale).toBe(true));
    expect(faults).toContain("unauthenticated");
    expect(textOf(client, "a")).toBe("one");
    const later = open({ apiKey: secret, prompts: ["a"] });
    const error = await thrownBy(() => later.ready());
    expect(error.code).toBe("unauthenticated");
    expect((await thrownBy(() => later.get("a"))).code).toBe("unauthenticated");
  });

  it("that is limited to some prompts is told these, and why it is not told others", async () => {
    const { secret } = await newKey(["a", "c"]);
    const client = open({ apiKey: secret, prompts: ["b", "a", "c"] });
    const error = await thrownBy(() => client.ready());
    expect(error.message).toMatch(/"b": this key is limited.*"c": /);
    expect(error.message).not.toContain('"a": ');
    expect(client.get("a")).toMatchObject({ stale: false });
    expect((await thrownBy(() => client.get("b"))).code).toBe("forbidden");
    expect((await thrownBy(() => client.load("d"))).code).toBe("forbidden");
    expect(client.get("a")).toMatchObject({ stale: false });
  });
});
