import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { startService, type TestService } from "../support/service.ts";
import { against } from "./promptd.ts";
import { watchingAt } from "./watching.ts";

let folder: string;
let service: TestService;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "promptd-watch-"));
  service = await start();
});

afterEach(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

/** On a port of choice, so that another one can take the place of the first. */
function start(port = 0): Promise<TestService> {
  return startService({
    PROMPTD_DATABASE_URL: `sqlite:${join(folder, "promptd.db")}`,
    PROMPTD_GRPC_LISTEN: `127.0.0.1:${port}`,
  });
}

const watching = (line: string, env: Record<string, string> = {}) =>
  watchingAt(service.runtime.grpcAddress, line.split(" "), env);

const create = (text: string) =>
  service.prompts.createVersion({
    name: "p",
    template: { case: "text", value: text },
    labels: ["production"],
  });

describe("watch", () => {
  it("prints each state, and goes on with a service that takes the place of another", async () => {
    const watched = watching("watch p");
    expect(await watched.line(0)).toContain('p: prompt "p" does not exist');
    await create("one");
    expect(await watched.line(1)).toBe("p version 1 (latest, production), revision 1");
    const { grpcPort } = service;
    await service.close();
    service = await start(grpcPort);
    await create("two");
    expect(await watched.line(2)).toBe("p version 2 (latest, production), revision 2");
    watched.close();
    await create("three");
    expect(await watched.line(3)).toContain("version 3");
    expect(await watched.ended()).toEqual({ code: 0, err: "" });
  });

  it("prints messages for programs", async () => {
    await create("one");
    await create("two");
    const watched = watching("watch p --version 1 --json");
    expect(JSON.parse(await watched.line(0))).toMatchObject({
      snapshot: { revision: "2", items: [{ response: { prompt: { version: 1, text: "one" } } }] },
    });
    watched.close();
    await service.prompts.deleteVersions({ name: "p", versions: [1] });
    expect(JSON.parse(await watched.line(1))).toMatchObject({
      update: { revision: "3", items: [{ index: 0, item: { error: { code: 5 } } }] },
    });
    expect((await watched.ended()).code).toBe(0);
  });

  it("ends where its key is not valid, or not any more", async () => {
    const baseUrl = `http://${service.runtime.grpcAddress}`;
    const keys = createClient(KeyService, createGrpcTransport({ baseUrl }));
    const { key, secret } = await keys.createKey({ name: "k", scopes: [Scope.READ, Scope.ADMIN] });
    const watched = watching("watch p", { PROMPTD_API_KEY: secret });
    await watched.line(0);
    const headers = { authorization: `Bearer ${secret}` };
    await keys.revokeKey({ id: key?.id ?? "" }, { headers });
    expect((await watched.ended()).code).toBe(6);
    expect((await against(service.runtime.grpcAddress)("watch p")).code).toBe(6);
  });

  it("fails at once where nobody is there", async () => {
    expect((await against("127.0.0.1:1")("watch p")).code).toBe(5);
  });
});
