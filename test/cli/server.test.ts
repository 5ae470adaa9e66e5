import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import Libsql from "libsql";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hasCurl } from "../support/curl.ts";
import { spawnServe, spawnService } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { against, promptd } from "./promptd.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-server-"));
});

afterEach(() => rm(dir, { recursive: true }));

describe("serve", () => {
  it("tells calls that can be pasted, and keeps templates byte for byte", async () => {
    const child = spawnServe(["--seed-dir", "prompts"], { PROMPTD_DATA_DIR: dir });
    try {
      const [text] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
      const curl = text.match(/^ {2}(curl .*)$/m)?.[1] ?? "";
      if (hasCurl) {
        const { stdout } = await promisify(execFile)("sh", ["-c", curl]);
        expect(JSON.parse(stdout)).toMatchObject({ prompt: { name: "support/reply" } });
      }
      const command = text.match(/^ {2}npx promptd (.*)$/m)?.[1] ?? "";
      const got = await promptd(command.split(" "));
      expect(got).toMatchObject({ code: 0, out: expect.stringContaining("[system]") });
      const template = "\ufeffbyte for byte\r\n";
      const cli = against(command.split(" ").at(-1) ?? "");
      await cli("create exact - --label production", { stdin: template });
      expect((await cli("get exact")).out).toBe(template);
      expect(text).toMatch(
        /^ {2}grpcurl -plaintext -d '\{"name":"support\/reply"\}' 127\.0\.0\.1:/m,
      );
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });

  it("ends at once at a second signal", async () => {
    const service = await spawnService({ PROMPTD_DATA_DIR: dir, PROMPTD_LOG_LEVEL: "info" });
    // Another process holds the write lock, so a call stays in flight.
    const other = new Libsql(join(dir, "promptd.db"));
    other.exec("begin immediate");
    const template = { case: "text" as const, value: "x" };
    const inFlight = service.prompts.createVersion({ name: "p", template });
    const failed = expect(inFlight).rejects.toThrow();
    await service.prompts.listPrompts({});
    const stopped = service.stop("SIGTERM");
    await expect.poll(() => service.log.at(-1)?.msg).toBe("stopping");
    process.kill(service.pid, "SIGINT");
    expect(await stopped).toBe(130);
    await failed;
    other.close();
  });

  it.each([
    [["--grpc-listen", "50051"], 2, "PROMPTD_GRPC_LISTEN: expected HOST:PORT"],
    [["--grpc-listen", "0.0.0.0:0"], 1, "PROMPTD_GRPC_LISTEN: is not loopback"],
    [["--database-url", "sqlite:/"], 5, "the database / cannot be used"],
    [
      ["--database-url", "postgres://127.0.0.1:1/nowhere"],
      5,
      "PostgreSQL (127.0.0.1:1/nowhere) cannot be reached (ECONNREFUSED)",
    ],
  ])("says what is wrong with %j", async (flags, code, message) => {
    const ended = await promptd(["serve", "--log-level", "silent", "--data-dir", dir, ...flags]);
    expect(ended).toMatchObject({ code, out: "" });
    expect(ended.err).toContain(`promptd: `);
    expect(ended.err).toContain(message);
  });
});

describe("config", () => {
  it("tells each setting and where it is from, without secrets", async () => {
    const env = {
      PROMPTD_DATABASE_URL: "postgres://promptd:s3cret@db/promptd",
      PROMPTD_MEMORY: "",
    };
    const args = ["config", "--data-dir", "/srv/promptd"];
    const { code, out } = await promptd(args, { env });
    expect(code).toBe(0);
    expect(out).toMatch(/^SETTING +VALUE +FROM\n/);
    expect(out).toMatch(
      /\nPROMPTD_DATABASE_URL +postgres:\/\/promptd:\*\*\*@db\/promptd +environment\n/,
    );
    const settings = JSON.parse((await promptd([...args, "--json"], { env })).out);
    expect(settings).toContainEqual({
      name: "PROMPTD_DATA_DIR",
      value: "/srv/promptd",
      from: "flag",
    });
    expect(settings).toContainEqual({ name: "PROMPTD_MEMORY", value: "64MiB", from: "default" });
    expect(JSON.stringify(settings) + out).not.toContain("s3cret");
  });

  it("names every setting that is wrong", async () => {
    const env = { PROMPTD_MEMORY: "much", PROMPTD_LOG_LEVEL: "loud" };
    const { code, err } = await promptd(["config"], { env });
    expect(code).toBe(2);
    expect(err).toMatch(/^promptd: 2 things are wrong\n {2}PROMPTD_MEMORY: .*\n {2}PROMPTD_LOG/);
  });
});

describe("the database", () => {
  it("is migrated, copied and put back", async () => {
    const service = await startService();
    const cli = against(service.runtime.grpcAddress);
    const database = ["--data-dir", service.dataDir];
    const copy = join(dir, "copy.db");
    expect(await cli(["migrate", ...database])).toMatchObject({ out: "nothing to migrate\n" });
    await cli("create p - --label production", { stdin: "one" });
    const saved = await cli(["backup", copy, ...database]);
    expect(saved).toEqual({
      code: 0,
      out: `${copy} holds 1 prompts, 1 versions, 1 changes\n`,
      err: "",
    });
    expect((await stat(copy)).mode & 0o777).toBe(0o600);
    expect(await cli(["backup", copy, ...database])).toMatchObject({ code: 1 });

    await cli("create p - --label production", { stdin: "two" });
    expect(await cli(["restore", copy, ...database])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/promptd\.db holds 1 prompts, 1 versions, 1 changes\n$/),
    });
    expect((await cli("get p")).out).toBe("one");

    await writeFile(join(dir, "not.db"), "not a database");
    expect(await cli(["restore", join(dir, "not.db"), ...database])).toMatchObject({ code: 1 });
    expect(await cli(["restore", join(dir, "nowhere"), ...database])).toMatchObject({ code: 3 });
    expect((await cli("get p")).out).toBe("one");
    await service.close();
  });

  it("is migrated where it is new", async () => {
    const { out } = await promptd(["migrate", "--data-dir", join(dir, "new")]);
    expect(out).toMatch(/^ran 0001_\w+/);
  });

  it("is not copied where it is not a file", async () => {
    const url = ["--database-url", "postgres://localhost/promptd"];
    const { code, err } = await promptd(["backup", join(dir, "copy"), ...url]);
    expect(err).toBe("promptd: this is for SQLite; use pg_dump for PostgreSQL\n");
    expect(code).toBe(1);
  });
});
