import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashSecret, type KeyScope, newKeyId, newSecret } from "../../src/core/keys.ts";
import type { NewKey } from "../../src/core/ports.ts";
import { OPERATION_PATHS } from "../../src/http/routes.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Projects } from "../../src/store/projects.ts";
import { reflectionClient } from "../support/reflection.ts";
import { startService, type TestService } from "../support/service.ts";

const EVERYWHERE = {
  PROMPTD_GRPC_LISTEN: "0.0.0.0:0",
  PROMPTD_HTTP_LISTEN: "0.0.0.0:0",
};

const CALLER = { project: "default", actor: "test" };

const ALL: KeyScope[] = ["read", "write", "release", "admin"];

/** Of a service with keys that listens on all addresses. */
let service: TestService;
let dataDir: string;
/** Headers by what is special about the caller. */
const headers: Record<string, Record<string, string>> = {
  "no key": {},
  "a wrong key": { authorization: `Bearer ${newSecret()}` },
  "another scheme": { authorization: "Digest abc" },
};

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-off-loopback-"));
  const url = `sqlite:${join(dataDir, "promptd.db")}`;
  const database = await openDatabase(url);
  await database.migrate();
  const keys = new Keys(database);
  const make = async (what: string, more: Partial<NewKey>, project = "default") => {
    const secret = newSecret();
    headers[what] = { "x-api-key": secret };
    const grant = { name: what, scopes: ALL, promptPatterns: [], ...more };
    const key = { id: newKeyId(), secretHash: hashSecret(secret), ...grant };
    return keys.createKey({ ...CALLER, project }, key);
  };
  await new Projects(database).create(CALLER, "other");
  for (const scope of ALL) await make(scope, { scopes: [scope] });
  await make("an expired key", { expiresAt: new Date(Date.now() - 1) });
  const { id } = await make("a revoked key", {});
  await keys.revokeKey(CALLER, id, "");
  await make("a key of another project", {}, "other");
  await make("a key of some prompts", { promptPatterns: ["support/*"] });
  await database.close();
  service = await startService({ ...EVERYWHERE, PROMPTD_DATABASE_URL: url });
});

afterAll(async () => {
  await service.close();
  await rm(dataDir, { recursive: true });
});

const CALLERS = [
  "no key",
  "a wrong key",
  "another scheme",
  "an expired key",
  "a revoked key",
  "a key of another project",
  "a key of some prompts",
  ...ALL,
] as const;

/** What each route answers whom; one without a row does not compile. */
const ROWS: Record<(typeof OPERATION_PATHS)[number], (caller: string) => number> = {
  "/healthz": () => 200,
  "/readyz": () => 200,
  "/metrics": (caller) => {
    if (caller === "read") return 200;
    const known = ["a key of another project", "a key of some prompts", ...ALL].includes(caller);
    return known ? 403 : 401;
  },
};

describe.each(CALLERS)("%s", (caller) => {
  it.each(OPERATION_PATHS)("at %s", async (path) => {
    const url = `http://127.0.0.1:${service.httpPort}${path}`;
    const response = await fetch(url, { headers: headers[caller] ?? {} });
    expect(response.status).toBe(ROWS[path](caller));
    expect(response.headers.get("www-authenticate")).toBe(
      response.status === 401 ? "Bearer" : null,
    );
    const text = await response.text();
    if (response.status >= 400) expect(Object.keys(JSON.parse(text))).toEqual(["error"]);
    const named = await fetch(`${url}?x=1`, { headers: headers[caller] ?? {}, method: "HEAD" });
    expect(named.status).toBe(response.status);
  });

  it("at reflection", async () => {
    const address = `127.0.0.1:${service.grpcPort}`;
    const { ask, close } = reflectionClient(address, headers[caller]);
    const code = await ask({ listServices: "" }).then(
      ({ listServicesResponse }) => (listServicesResponse?.service.length ?? 0) > 0 && status.OK,
      (error) => error.code,
    );
    close();
    const known = ["a key of another project", "a key of some prompts", ...ALL].includes(caller);
    expect(code).toBe(known ? status.OK : status.UNAUTHENTICATED);
  });
});

it("answers what a setting opens to everybody", async () => {
  const opened = await startService({
    ...EVERYWHERE,
    PROMPTD_INSECURE: "true",
    PROMPTD_KEYLESS: "metrics,reflection",
  });
  try {
    const { dataDir } = opened;
    const database = await openDatabase(`sqlite:${join(dataDir, "promptd.db")}`);
    const secretHash = hashSecret(newSecret());
    const key = { id: newKeyId(), name: "k", scopes: ALL, promptPatterns: [], secretHash };
    await new Keys(database).createKey(CALLER, key);
    await database.close();
    const url = `http://127.0.0.1:${opened.httpPort}/metrics`;
    expect((await fetch(url)).status).toBe(200);
    const { ask, close } = reflectionClient(`127.0.0.1:${opened.grpcPort}`);
    expect(await ask({ listServices: "" })).toHaveProperty("listServicesResponse");
    close();
    await expect(opened.prompts.listPrompts({})).rejects.toThrow("unauthenticated");
  } finally {
    await opened.close();
  }
});
