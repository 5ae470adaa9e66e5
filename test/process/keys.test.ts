import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { sharedDatabases } from "../support/postgres-databases.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-replicas-"));
});

afterEach(() => rm(dataDir, { recursive: true, force: true }));

describe.each(sharedDatabases(() => dataDir))("two replicas on $database", ({ skip, url }) => {
  it.skipIf(skip)("refuse a key soon after one of them has revoked it", async () => {
    const env = { PROMPTD_DATABASE_URL: await url() };
    const [first, second] = await Promise.all([spawnService(env), spawnService(env)]);
    const keys = createClient(
      KeyService,
      createGrpcTransport({ baseUrl: `http://${first.grpcAddress}` }),
    );
    const admin = await keys.createKey({ name: "admin", scopes: [Scope.ADMIN] });
    const asAdmin = { headers: { authorization: `Bearer ${admin.secret}` } };
    const { key, secret } = await keys.createKey({ name: "k", scopes: [Scope.READ] }, asAdmin);
    for (const replica of [first, second]) expect(await codeOf(replica, secret)).toBe("OK");

    await keys.revokeKey({ id: key?.id ?? "", reason: "leaked" }, asAdmin);
    const revoked = Date.now();
    while ((await codeOf(second, secret)) === "OK") {
      // The promise is a second; a machine under load may be late to ask.
      expect(Date.now() - revoked).toBeLessThan(5000);
    }
    expect(await codeOf(second, secret)).toBe(Code[Code.Unauthenticated]);
    expect(await codeOf(first, secret)).toBe(Code[Code.Unauthenticated]);
  });
});

async function codeOf({ prompts }: ServiceProcess, secret: string): Promise<string> {
  const headers = { authorization: `Bearer ${secret}` };
  return prompts.listPrompts({}, { headers }).then(
    () => "OK",
    (thrown) => Code[ConnectError.from(thrown).code],
  );
}
