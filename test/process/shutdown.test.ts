import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath } from "grpc-health-check";
import Libsql from "libsql";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { spawnService } from "../support/process.ts";

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-shutdown-"));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

/** The statuses that a health check sees, as they come. */
function watchHealth(address: string) {
  const loaded = grpc.loadPackageDefinition(loadSync(protoPath, { enums: String }));
  const { Health } = (
    loaded as never as { grpc: { health: { v1: { Health: HealthConstructor } } } }
  ).grpc.health.v1;
  const client = new Health(address, grpc.credentials.createInsecure());
  const stream = client.watch({ service: "promptd.v1.PromptService" });
  const seen: string[] = [];
  const waiting: { status: string; resolve: () => void }[] = [];
  stream.on("data", ({ status }: { status: string }) => {
    seen.push(status);
    for (const each of waiting) if (each.status === status) each.resolve();
  });
  stream.on("error", () => {});
  return {
    until: (status: string) =>
      new Promise<void>((resolve) => {
        if (seen.includes(status)) resolve();
        else waiting.push({ status, resolve });
      }),
    close() {
      stream.cancel();
      client.close();
    },
  };
}

type HealthConstructor = new (
  address: string,
  credentials: grpc.ChannelCredentials,
) => grpc.Client & {
  watch(request: { service: string }): grpc.ClientReadableStream<{ status: string }>;
};

it("on SIGTERM says NOT_SERVING first, lets the calls in flight finish, and exits with 0", async () => {
  const service = await spawnService({ PROMPTD_DATA_DIR: dataDir });
  const { prompts } = service;
  await prompts.createVersion({ name: "p", template: { case: "text", value: "one" } });
  const health = watchHealth(service.grpcAddress);
  await health.until("SERVING");

  // Another process holds the write lock, so the call is in flight for as long as we want.
  const other = new Libsql(join(dataDir, "promptd.db"));
  other.exec("begin immediate");
  const inFlight = prompts.createVersion({ name: "p", template: { case: "text", value: "two" } });
  await prompts.getPrompt({ name: "p", selector: { case: "label", value: "latest" } });

  const stopped = service.stop("SIGTERM");
  await health.until("NOT_SERVING");
  health.close();
  await expect(fetch(`http://${service.httpAddress}/healthz`)).rejects.toThrow();

  other.exec("commit");
  other.close();
  expect(await inFlight).toMatchObject({ version: 2, created: true });
  expect(await stopped).toBe(0);
  expect(service.log.at(-1)).toMatchObject({ msg: "stopped" });
});

it("does not wait for streams and connections that nothing is asked of", async () => {
  const env = { PROMPTD_DATA_DIR: dataDir, PROMPTD_SHUTDOWN_GRACE: "1h" };
  const service = await spawnService(env);
  const health = watchHealth(service.grpcAddress);
  await health.until("SERVING");
  const [host, port] = service.httpAddress.split(":");
  const silent = connect(Number(port), host);
  await once(silent, "connect");
  expect(await service.stop("SIGTERM")).toBe(0);
  await health.until("NOT_SERVING");
  health.close();
  silent.destroy();
});

it("cuts off what does not finish within the grace", async () => {
  const env = { PROMPTD_DATA_DIR: dataDir, PROMPTD_SHUTDOWN_GRACE: "100ms" };
  const service = await spawnService(env);
  const other = new Libsql(join(dataDir, "promptd.db"));
  other.exec("begin immediate");
  const inFlight = service.prompts.createVersion({
    name: "p",
    template: { case: "text", value: "x" },
  });
  const failed = expect(inFlight).rejects.toThrow();
  await service.prompts.listPrompts({});
  expect(await service.stop()).toBe(0);
  await failed;
  other.close();
});

it.skipIf(postgresUrl === undefined)(
  `does not wait for a database that hangs${postgresUrl ? "" : SKIPPED_WITHOUT_POSTGRES}`,
  async () => {
    const url = new URL(await createDatabase());
    const sockets: Socket[] = [];
    const proxy = createServer((client) => {
      const upstream = connect(Number(url.port), url.hostname);
      client.pipe(upstream).pipe(client);
      for (const socket of [client, upstream]) sockets.push(socket.on("error", () => {}));
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { port } = proxy.address() as AddressInfo;
    const database = new URL(url);
    database.host = `127.0.0.1:${port}`;
    const env = { PROMPTD_DATA_DIR: dataDir, PROMPTD_DATABASE_URL: database.href };
    const service = await spawnService({ ...env, PROMPTD_SHUTDOWN_GRACE: "0s" });
    await service.prompts.createVersion({ name: "p", template: { case: "text", value: "one" } });
    await service.prompts.getPrompt({ name: "p", selector: { case: "label", value: "latest" } });
    // The connections stay, and nothing comes through any more.
    for (const socket of sockets) socket.unpipe().pause();
    expect(await service.stop("SIGTERM")).toBe(0);
    expect(sockets.some((socket) => !socket.destroyed)).toBe(true);
    const said = service.log.map(({ msg }) => msg);
    expect(said).toContain("what is behind the service hangs, and is left alone");
    expect(said).toContain("stopped");
    for (const socket of sockets) socket.destroy();
    proxy.close();

    const again = await spawnService({ ...env, PROMPTD_FALLBACK_DIR: dataDir });
    const { resolution } = await again.prompts.getPrompt({
      name: "p",
      selector: { case: "label", value: "latest" },
    });
    expect(resolution).toMatchObject({ version: 1, stale: true });
  },
);
