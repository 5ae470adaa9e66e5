import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import {
  Resolution_Reason,
  Resolution_Tier,
  TemplateFormat,
} from "../../gen/promptd/v1/prompt_pb.ts";
import { MissingVariables } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { newSecret } from "../../src/core/keys.ts";
import {
  createDatabase,
  postgresUrl,
  SKIPPED_WITHOUT_POSTGRES,
} from "../support/postgres-databases.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { startService, type TestService } from "../support/service.ts";

let server: PostgresServer | undefined;
let folder: string;
let env: Record<string, string>;
let service: TestService | undefined;

beforeEach(async ({ skip }) => {
  server = await startPostgres();
  if (server === undefined) return skip("no PostgreSQL is installed beside the one that was named");
  folder = await mkdtemp(join(tmpdir(), "promptd-fallback-"));
  await mkdir(join(folder, "files"));
  await writeFile(join(folder, "files", "filed.md"), "from a file, {{name}}");
  await writeFile(join(folder, "files", "broken.json"), "{");
  await writeFile(
    join(folder, "files", "jinja.j2"),
    "{% for n in names %}{{ n }}, {% endfor %}hi\n",
  );
  env = {
    PROMPTD_DATABASE_URL: await createDatabase(server.url),
    PROMPTD_DATA_DIR: join(folder, "data"),
    PROMPTD_FALLBACK_DIR: join(folder, "files"),
  };
});

afterEach(async () => {
  await service?.close();
  service = undefined;
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

const text = (value: string) => ({ template: { case: "text" as const, value } });
const byVersion = { case: "version" as const, value: 1 };
const bearer = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });

/** Starts it again in the same folder, and again after that. */
async function restarted(more: Record<string, string> = {}): Promise<TestService> {
  await service?.close();
  service = undefined;
  service = await startService({ ...env, ...more });
  return service;
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  const thrown = await call.then(
    () => undefined,
    (error) => ConnectError.from(error),
  );
  return thrown && Code[thrown.code];
}

function newKey({ runtime }: TestService, secret?: string) {
  const transport = createGrpcTransport({ baseUrl: `http://${runtime.grpcAddress}` });
  const keys = createClient(KeyService, transport);
  const scopes = [Scope.READ, Scope.WRITE, Scope.RELEASE, Scope.ADMIN];
  const headers = secret === undefined ? {} : bearer(secret);
  return { keys, created: keys.createKey({ name: "k", scopes }, headers) };
}

async function readyz({ httpPort }: TestService) {
  const response = await fetch(`http://127.0.0.1:${httpPort}/readyz`);
  const { dependencies } = (await response.json()) as { dependencies: { database: string } };
  return { status: response.status, database: dependencies.database };
}

describe.skipIf(postgresUrl === undefined)(
  `while PostgreSQL is down${postgresUrl === undefined ? SKIPPED_WITHOUT_POSTGRES : ""}`,
  () => {
    it("known prompts are answered, also after a restart, and are fresh when it is back", async () => {
      const started = await restarted();
      const first = started.prompts;
      const { secret } = await newKey(started).created;
      const key = bearer(secret);
      await first.createVersion({ name: "p", ...text("one"), labels: ["production"] }, key);
      await first.createVersion({ name: "unasked", ...text("x"), labels: ["production"] }, key);
      await first.getPrompt({ name: "p" }, key);
      await first.getPrompt({ name: "p", selector: byVersion }, key);

      await server?.crash();
      expect((await first.getPrompt({ name: "p" }, key)).prompt?.version).toBe(1);

      const again = await restarted();
      for (const selector of [undefined, byVersion]) {
        const { prompt, resolution } = await again.prompts.getPrompt(
          { name: "p", ...(selector && { selector }) },
          key,
        );
        expect(prompt?.template.value).toBe("one");
        expect(resolution).toMatchObject({
          version: 1,
          label: selector ? "" : "production",
          reason: selector ? Resolution_Reason.VERSION : Resolution_Reason.LABEL,
          tier: Resolution_Tier.FALLBACK,
          stale: true,
        });
        expect(resolution?.ageMs).toBeGreaterThan(0n);
      }
      expect(await codeOf(again.prompts.getPrompt({ name: "unasked" }, key))).toBe("Unavailable");
      const write = again.prompts.createVersion({ name: "p", ...text("no") }, key);
      expect(await codeOf(write)).toBe("Unavailable");
      const stranger = again.prompts.getPrompt({ name: "p" }, bearer(newSecret()));
      expect(await codeOf(stranger)).toBe("Unavailable");
      expect(await codeOf(again.prompts.getPrompt({ name: "p" }))).toBe("Unauthenticated");
      const { status, database } = await readyz(again);
      expect(status).toBe(200);
      expect(database).toContain("cannot be reached");

      await server?.restart();
      await vi.waitFor(
        async () => {
          const { resolution } = await again.prompts.getPrompt({ name: "p" }, key);
          expect(resolution?.stale).toBe(false);
        },
        { timeout: 10_000 },
      );
      const moved = { name: "p", ...text("two"), labels: ["production"] };
      await again.prompts.createVersion(moved, key);
      const { prompt, resolution } = await again.prompts.getPrompt({ name: "p" }, key);
      expect([prompt?.version, resolution?.stale]).toEqual([2, false]);
      expect((await readyz(again)).database).toBe("ok");
    });

    it("a key that was revoked or has expired is not let in", async () => {
      const first = await restarted();
      const admin = bearer((await newKey(first).created).secret);
      const { keys, created } = newKey(first, admin.headers.authorization.slice(7));
      const { key, secret } = await created;
      await first.prompts.createVersion(
        { name: "p", ...text("one"), labels: ["production"] },
        admin,
      );
      const expireTime = timestampFromMs(Date.now() + 2000);
      const brief = await keys.createKey({ name: "b", scopes: [Scope.READ], expireTime }, admin);
      for (const each of [admin, bearer(secret), bearer(brief.secret)]) {
        await first.prompts.getPrompt({ name: "p" }, each);
      }
      await keys.revokeKey({ id: key?.id ?? "", reason: "leaked" }, admin);
      await first.prompts.getPrompt({ name: "p" }, admin);
      await server?.crash();
      const again = await restarted();
      expect(await codeOf(again.prompts.getPrompt({ name: "p" }, admin))).toBeUndefined();
      const revoked = again.prompts.getPrompt({ name: "p" }, bearer(secret));
      expect(await codeOf(revoked)).toBe("Unavailable");
      const withBrief = () => codeOf(again.prompts.getPrompt({ name: "p" }, bearer(brief.secret)));
      await vi.waitFor(async () => expect(await withBrief()).toBe("Unauthenticated"), 10_000);
    });

    it("a file answers for a label of what nobody knows, and for no version", async () => {
      const first = await restarted();
      await first.prompts.listPrompts({});
      await server?.crash();
      const { prompts, log } = await restarted();
      const { prompt, resolution } = await prompts.getPrompt({ name: "filed" });
      expect(prompt?.template.value).toBe("from a file, {{name}}");
      expect(resolution).toMatchObject({
        version: 0,
        label: "production",
        reason: Resolution_Reason.FALLBACK,
        traceAttributes: {},
        tier: Resolution_Tier.FALLBACK,
        stale: true,
      });
      const { output } = await prompts.compile({ name: "filed", variables: { name: "Ada" } });
      expect(output.value).toBe("from a file, Ada");
      const numbered = prompts.getPrompt({ name: "filed", selector: byVersion });
      expect(await codeOf(numbered)).toBe("Unavailable");
      expect(await codeOf(prompts.getPrompt({ name: "broken" }))).toBe("Unavailable");
      const warned = log.map((line) => JSON.parse(line)).filter(({ file }) => file);
      expect(warned).toMatchObject([{ level: 40, file: "broken.json" }]);
      await server?.restart();
      await vi.waitFor(async () => {
        expect(await codeOf(prompts.getPrompt({ name: "filed" }))).toBe("NotFound");
      }, 10_000);
    });

    it("a jinja file is answered as it is written, and compiled", async () => {
      const first = await restarted();
      await first.prompts.listPrompts({});
      const jinja = { name: "p", ...text("x"), format: TemplateFormat.JINJA };
      const created = ConnectError.from(await first.prompts.createVersion(jinja).catch((e) => e));
      expect(created.message).toContain("JINJA is for fallback files only");
      expect(Code[created.code]).toBe("InvalidArgument");
      await server?.crash();
      const { prompts, httpPort } = await restarted();
      const { prompt, resolution } = await prompts.getPrompt({ name: "jinja" });
      expect(prompt).toMatchObject({
        template: { case: "text", value: "{% for n in names %}{{ n }}, {% endfor %}hi\n" },
        format: TemplateFormat.JINJA,
      });
      expect(resolution?.reason).toBe(Resolution_Reason.FALLBACK);
      const variables = { names: ["Ada", "{{ n }}"] };
      const { output } = await prompts.compile({ name: "jinja", variables });
      expect(output.value).toBe("Ada, {{ n }}, hi");
      const { KEEP, EMPTY } = MissingVariables;
      const without = await prompts.compile({ name: "jinja", missingVariables: EMPTY });
      expect(without.output.value).toBe("hi");
      for (const refused of [{}, { variables, missingVariables: KEEP }]) {
        expect(await codeOf(prompts.compile({ name: "jinja", ...refused }))).toBe(
          "InvalidArgument",
        );
      }
      const misfit = prompts.compile({ name: "jinja", variables: { names: 1 } });
      expect(await codeOf(misfit)).toBe("FailedPrecondition");
      const url = `http://127.0.0.1:${httpPort}/api/public/v2/prompts`;
      expect((await fetch(`${url}/filed`)).status).toBe(200);
      expect((await fetch(`${url}/jinja`)).status).toBe(503);
    });

    it("it does not start where nothing is known", async () => {
      await server?.crash();
      const { PROMPTD_FALLBACK_DIR: _, ...without } = env;
      env = without;
      await expect(restarted()).rejects.toThrow("cannot be reached");
    });
  },
);
