import { once } from "node:events";
import { join } from "node:path";
import { type Client, Code, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { backup, restore } from "../../src/store/backup.ts";
import { startService, type TestService } from "../support/service.ts";
import { Watching } from "../support/watching.ts";

let service: TestService;
let streams: Watching[];

beforeEach(async () => {
  service = await startService({ PROMPTD_SHUTDOWN_GRACE: "1h" });
  streams = [];
});

afterEach(async () => {
  for (const stream of streams) stream.close();
  await service.close();
});

const TRANSPORTS = {
  gRPC: ({ grpcPort }: TestService) =>
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` }),
  Connect: ({ httpPort }: TestService) =>
    createConnectTransport({ baseUrl: `http://127.0.0.1:${httpPort}`, httpVersion: "1.1" }),
  "Connect with JSON": ({ httpPort }: TestService) =>
    createConnectTransport({
      baseUrl: `http://127.0.0.1:${httpPort}`,
      httpVersion: "1.1",
      useBinaryFormat: false,
    }),
  "gRPC-Web": ({ httpPort }: TestService) =>
    createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${httpPort}`, httpVersion: "1.1" }),
};

type Request = ConstructorParameters<typeof Watching>[1];

function watch(
  transport: keyof typeof TRANSPORTS,
  request: Request,
  options: ConstructorParameters<typeof Watching>[2] = {},
  of = service,
): Watching {
  const stream = new Watching(
    createClient(PromptService, TRANSPORTS[transport](of)),
    request,
    options,
  );
  streams.push(stream);
  return stream;
}

const create = (name: string, text: string, labels = ["production"], of = service) =>
  of.prompts.createVersion({ name, template: { case: "text", value: text }, labels });

const move = (name: string, version: number, of = service) =>
  of.prompts.setLabels({ name, moves: [{ label: "production", version }] });

async function metric(name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
  const line = (await response.text()).split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1]);
}

describe.each(Object.keys(TRANSPORTS) as (keyof typeof TRANSPORTS)[])("on %s", (transport) => {
  it("tells a snapshot, and then what has become another answer", async () => {
    await create("a", "one");
    await create("a", "two", []);
    await create("b", "b");
    const stream = watch(transport, { prompts: [{ name: "a" }, { name: "b" }, { name: "later" }] });
    expect(await stream.next()).toBe("snapshot 0:v1=one 1:v1=b 2:5");
    expect(stream.revision).toBe(3n);
    await move("a", 2);
    expect(await stream.next()).toBe("update 0:v2=two");
    expect(stream.revision).toBe(4n);
    await create("later", "made");
    expect(await stream.next()).toBe("update 2:v1=made");
    await service.prompts.deleteVersions({ name: "b", all: true });
    expect(await stream.next()).toBe("update 1:5");
    await create("b", "again");
    expect(await stream.next()).toBe("update 1:v2=again");
    await service.prompts.setTags({ name: "b", tags: ["t"] });
    expect(await stream.next()).toBe("update 1:v2=again");
    expect(await metric("promptd_watchers")).toBe(1);
    stream.close();
    await vi.waitFor(async () => expect(await metric("promptd_watchers")).toBe(0));
  });

  it("goes on behind a revision", async () => {
    await create("a", "one");
    await create("b", "b");
    const prompts = [{ name: "a" }, { name: "b" }, { name: "none" }];
    const first = watch(transport, { prompts });
    await first.next();
    first.close();
    const afterRevision = first.revision;
    const same = watch(transport, { prompts, afterRevision });
    expect([await same.next(), same.revision]).toEqual(["update", 2n]);
    await create("a", "two");
    expect(await same.next()).toBe("update 0:v2=two");
    const behind = watch(transport, { prompts, afterRevision });
    expect([await behind.next(), behind.revision]).toEqual(["update 0:v2=two", 3n]);
    await create("b", "c");
    expect(await behind.next()).toBe("update 1:v2=c");
    for (const elsewhere of [
      ...[0n, 99n, 2n ** 63n].map((revision) => ({ afterRevision: revision })),
      { afterRevision, afterHistory: "of another database" },
    ]) {
      const anew = watch(transport, { prompts, ...elsewhere });
      expect(await anew.next()).toBe("snapshot 0:v2=two 1:v2=c 2:5");
    }
  });

  it("ends at once when the service stops", async () => {
    await create("a", "one");
    const stream = watch(transport, { prompts: [{ name: "a" }] });
    await stream.next();
    const ended = stream.failure();
    const stopped = service.close();
    expect(await ended).toMatchObject({
      code: Code.Unavailable,
      rawMessage: "the service is stopping; go on with another replica",
    });
    await stopped;
    service = await startService();
  });

  it("ends with its deadline", async () => {
    const stream = watch(transport, { prompts: [{ name: "a" }] }, { timeoutMs: 300 });
    expect(await stream.next()).toBe("snapshot 0:5");
    expect(await stream.failure()).toMatchObject({ code: Code.DeadlineExceeded });
    await vi.waitFor(async () => expect(await metric("promptd_watchers")).toBe(0));
  });

  it("refuses what GetPrompt would", async () => {
    const none = await watch(transport, {}).failure();
    expect(none).toMatchObject({ code: Code.InvalidArgument });
    const wrong = await watch(transport, { prompts: [{ name: "a" }, { name: "a|b" }] }).failure();
    expect(wrong).toMatchObject({ code: Code.InvalidArgument });
    expect(wrong.rawMessage).toContain("prompts[1].name");
    const many = Array.from({ length: 101 }, () => ({ name: "a" }));
    expect((await watch(transport, { prompts: many }).failure()).code).toBe(Code.InvalidArgument);
  });
});

it("tells a prompt whose included parts have changed, however deep", async () => {
  const include = (name: string) => `@@@langfusePrompt:name=${name}|label=production@@@`;
  await create("leaf", "one");
  await create("middle", `<${include("leaf")}>`);
  await create("root", `[${include("middle")}]`);
  const prompts = [{ name: "root" }, { name: "root", raw: true }];
  const stream = watch("gRPC", { prompts });
  const raw = `1:v1=[${include("middle")}]`;
  expect(await stream.next()).toBe(`snapshot 0:v1=[<one>] ${raw}`);
  const { revision } = stream;
  await create("leaf", "two");
  expect(await stream.next()).toBe("update 0:v1=[<two>]");
  const resumed = watch("gRPC", { prompts, afterRevision: revision });
  expect(await resumed.next()).toBe("update 0:v1=[<two>]");
  await create("other", "x");
  await create("middle", include("other"));
  expect(await stream.next()).toBe("update 0:v1=[x]");
  await create("other", "y");
  expect(await stream.next()).toBe("update 0:v1=[y]");
});

it("tells changes that another process has made", async () => {
  const other = await startService({
    PROMPTD_DATABASE_URL: `sqlite:${join(service.dataDir, "promptd.db")}`,
  });
  try {
    await create("a", "one");
    const stream = watch("gRPC", { prompts: [{ name: "a" }] });
    await stream.next();
    await create("a", "two", ["production"], other);
    expect(await stream.next()).toBe("update 0:v2=two");
    const elsewhere = watch(
      "gRPC",
      { prompts: [{ name: "a" }], afterRevision: stream.revision },
      {},
      other,
    );
    expect(await elsewhere.next()).toBe("update");
    await move("a", 1);
    expect(await elsewhere.next()).toBe("update 0:v1=one");
  } finally {
    for (const stream of streams) stream.close();
    await other.close();
  }
});

it("tells all anew where the database was restored", async () => {
  const path = join(service.dataDir, "promptd.db");
  await create("a", "one");
  const copy = join(service.dataDir, "copy.db");
  await backup(path, copy);
  await create("a", "two");
  const stream = watch("Connect", { prompts: [{ name: "a" }] });
  expect([await stream.next(), stream.revision]).toEqual(["snapshot 0:v2=two", 2n]);
  await restore(path, copy);
  expect([await stream.next(), stream.revision]).toEqual(["snapshot 0:v1=one", 1n]);
});

describe("a key", () => {
  const bearer = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });
  let keys: Client<typeof KeyService>;
  let admin: string;

  beforeEach(async () => {
    await create("a", "one");
    keys = createClient(KeyService, TRANSPORTS.gRPC(service));
    const scopes = [Scope.READ, Scope.WRITE, Scope.RELEASE, Scope.ADMIN];
    admin = (await keys.createKey({ name: "admin", scopes })).secret;
  });

  it("that is revoked watches no more, and others do", async () => {
    const made = await keys.createKey({ name: "k", scopes: [Scope.READ] }, bearer(admin));
    const prompts = [{ name: "a" }];
    const all = [watch("gRPC", { prompts }, bearer(made.secret))];
    all.push(watch("Connect", { prompts }, bearer(made.secret)));
    const other = watch("gRPC", { prompts }, bearer(admin));
    for (const stream of [...all, other]) await stream.next();
    await keys.revokeKey({ id: made.key?.id ?? "", reason: "lost" }, bearer(admin));
    for (const stream of all) {
      expect(await stream.failure()).toMatchObject({ code: Code.Unauthenticated });
    }
    const tag = service.prompts.setTags({ name: "a", tags: ["t"] }, bearer(admin));
    expect(await other.next()).toBe("update 0:v1=one");
    await tag;
  });

  it("that is limited to other prompts watches none of these", async () => {
    const limited = { name: "k", scopes: [Scope.READ], promptPatterns: ["b"] };
    const { secret } = await keys.createKey(limited, bearer(admin));
    const prompts = [{ name: "b" }, { name: "a" }];
    const refused = await watch("gRPC", { prompts }, bearer(secret)).failure();
    expect(refused).toMatchObject({ code: Code.PermissionDenied });
  });
});

it("ends the watches of those who came without a key once there is one", async () => {
  const stream = watch("gRPC", { prompts: [{ name: "a" }] });
  await stream.next();
  const keys = createClient(KeyService, TRANSPORTS.gRPC(service));
  await keys.createKey({ name: "admin", scopes: [Scope.ADMIN] });
  expect(await stream.failure()).toMatchObject({ code: Code.Unauthenticated });
});

it("is served to clients that know the contract only", async () => {
  await create("a", "one");
  const definition = loadSync("promptd/v1/prompt_service.proto", { includeDirs: ["proto"] });
  const { promptd } = grpc.loadPackageDefinition(definition) as never as {
    promptd: { v1: { PromptService: grpc.ServiceClientConstructor } };
  };
  const address = `127.0.0.1:${service.grpcPort}`;
  const client = new promptd.v1.PromptService(address, grpc.credentials.createInsecure());
  const stream = client.watchPrompts?.({ prompts: [{ name: "a" }] });
  stream.on("error", () => {});
  const [first] = await once(stream, "data");
  expect(first.snapshot.items[0].response.prompt).toMatchObject({ version: 1, text: "one" });
  stream.cancel();
  client.close();
});

it("comes in parts where it would be more than clients read at once", async () => {
  const texts = ["x", "y", "z", "u", "v"].map((letter) => letter.repeat(1024 * 1024));
  for (const [index, text] of texts.entries()) await create(`p${index}`, text);
  const prompts = texts.map((_, index) => ({ name: `p${index}` }));
  const stream = watch("gRPC", { prompts });
  const three = texts.slice(0, 3).map((text, index) => `${index}:v1=${text}`);
  expect(await stream.next()).toBe(["snapshot", ...three, "3:8", "4:8"].join(" "));
  expect(stream.revision).toBe(0n);
  expect(await stream.next()).toBe(`update 3:v1=${texts[3]} 4:v1=${texts[4]}`);
  expect(stream.revision).toBe(5n);
});
