import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { startService } from "../support/service.ts";
import { promptd } from "./promptd.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "promptd-cli-keys-"));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

const at = (...args: string[]) => promptd([...args, "--data-dir", dir]);

it("makes the first key without a service, which a service then asks for", async () => {
  const made = await at("keys", "create", "ci", "--scope", "read", "--scope", "write");
  expect(made.out).toMatch(/^promptd_[\w-]{43}\n$/);
  expect(made.err).toMatch(/^key_[0-9a-f]{16} \(ci\) may read, write\. /);
  const secret = made.out.trim();

  const service = await startService({ PROMPTD_DATA_DIR: dir });
  onTestFinished(() => service.close());
  expect(service.log.join("")).not.toContain("there are no keys");
  const env = { PROMPTD_ADDRESS: service.runtime.grpcAddress };
  const nobody = await promptd(["list"], { env });
  expect(nobody).toMatchObject({ code: 6, err: expect.stringContaining("no key was sent") });
  const broken = await promptd(["list"], { env: { ...env, PROMPTD_API_KEY: "one\ntwo" } });
  expect(broken).toEqual({
    code: 1,
    out: "",
    err: "promptd: API key: expected a secret that keys create has printed, in one line\n",
  });
  const key = { env: { ...env, PROMPTD_API_KEY: secret } };
  expect((await promptd(["list"], key)).code).toBe(0);
  expect((await promptd(["create", "p", "-"], { ...key, stdin: "text" })).code).toBe(0);
  const release = await promptd(["label", "set", "p", "production=1"], key);
  expect(release).toMatchObject({ code: 6, err: "promptd: this key lacks the scope release\n" });

  const [id = ""] = made.err.split(" ");
  expect((await at("keys", "revoke", id, "--reason", "gone")).out).toBe(`${id} (ci) is revoked\n`);
  await vi.waitFor(async () => expect(await promptd(["list"], key)).toMatchObject({ code: 6 }));
});

it("lists keys with their state, and never a secret", async () => {
  const scope = ["--scope", "read"];
  const forever = await at("keys", "create", "forever", ...scope, "--prompt", "support/*");
  await at("keys", "create", "ending", ...scope, "--expires", "2999-01-31");
  const rotated = await at("keys", "rotate", forever.err.split(" ")[0] ?? "");
  expect(rotated.out).not.toBe(forever.out);
  const { out } = await at("keys", "list");
  expect(out).toMatch(/forever +read +support\/\* +valid +never/);
  expect(out).toMatch(/ending +read +valid until 2999-01-31T00:00:00\.000Z +never/);
  expect(out).not.toContain("promptd_");
  const listed = JSON.parse((await at("keys", "list", "--json")).out);
  expect(listed).toHaveLength(2);
  const made = JSON.parse((await at("keys", "create", "json", ...scope, "--json")).out);
  expect(made).toMatchObject({ name: "json", secret: expect.stringMatching(/^promptd_/) });
});

it("makes keys for certificates, which have no secret", async () => {
  const args = ["keys", "create", "checkout", "--scope", "read"];
  const subject = ["--certificate-subject", "CN=checkout,O=Acme"];
  const made = await at(...args, ...subject);
  expect(made).toMatchObject({ code: 0, err: "" });
  expect(made.out).toMatch(/^key_\w+ \(checkout\) may read for CN=checkout,O=Acme\n$/);
  const again = await at(...args, ...subject);
  expect(again).toMatchObject({ code: 1, err: expect.stringContaining("revoke it first") });
  const [id = ""] = made.out.split(" ");
  expect(await at("keys", "rotate", id)).toMatchObject({ code: 1, out: "" });
  expect((await at("keys", "list")).out).toMatch(/checkout .* never +CN=checkout,O=Acme\n/);
  const other = await at(...args, "--certificate-subject", "CN=other", "--json");
  expect(JSON.parse(other.out)).toMatchObject({ certificateSubject: "CN=other" });
  expect(other.out).not.toContain("secret");
});

it.each([
  [["create", "k"], "required option '--scope"],
  [["create", "k", "--scope", "red"], "expected read, write, release, admin"],
  [["create", "k", "--scope", "read", "--expires", "tomorrow"], "expected a time such as"],
  [["create", "k", "--scope", "read", "--expires", "2000-01-01"], "expected a time in the future"],
  [["create", "", "--scope", "read"], "must not be empty"],
  [["create", "k", "--scope", "read", "--certificate-subject", "CN = k"], "such as CN=checkout"],
])("keys %j is wrong usage", async (args, why) => {
  const { code, err } = await at("keys", ...args);
  expect(err).toContain(why);
  expect(code).toBe(2);
});

it("makes projects, whose keys see nothing of each other", async () => {
  expect((await at("projects", "create", "shop")).out).toBe("project shop created\n");
  expect((await at("projects", "create", "shop")).code).toBe(1);
  expect((await at("projects", "list")).out).toMatch(/^PROJECT +CREATED\ndefault .*\nshop /);
  const key = async (project: string) =>
    (
      await at("keys", "create", "k", "--scope", "read", "--scope", "write", "--project", project)
    ).out.trim();
  expect((await at("keys", "create", "k", "--scope", "read", "--project", "nope")).code).toBe(3);
  const [mine, theirs] = [await key("default"), await key("shop")];

  const service = await startService({ PROMPTD_DATA_DIR: dir });
  onTestFinished(() => service.close());
  const env = (secret: string) => ({
    env: { PROMPTD_ADDRESS: service.runtime.grpcAddress, PROMPTD_API_KEY: secret },
  });
  await promptd(["create", "p", "-"], { ...env(theirs), stdin: "theirs" });
  expect((await promptd(["get", "p", "--label", "latest"], env(theirs))).out).toBe("theirs");
  expect((await promptd(["get", "p", "--label", "latest"], env(mine))).code).toBe(3);
  expect(JSON.parse((await promptd(["list", "--json"], env(mine))).out).prompts).toEqual([]);
});
