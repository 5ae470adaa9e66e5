import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { rootCertificates } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { type RegisterOptions, registerPrompts } from "../../src/library/prompts/index.ts";
import { against } from "../cli/promptd.ts";
import { startChain, until } from "../langfuse/behind.ts";
import { freePort } from "../support/ports.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";
import { startApplication } from "./applications.ts";

let data: string;
let service: ServiceProcess;
/** Whose secret commands are run with. */
let key: string;
let cli: ReturnType<typeof against>;

beforeEach(async () => {
  key = "";
  data = await mkdtemp(join(tmpdir(), "promptd-code-prompts-"));
});

afterEach(async () => {
  await service?.stop("SIGKILL");
  await rm(data, { recursive: true });
});

async function serve(port = 0): Promise<void> {
  const env = { PROMPTD_DATA_DIR: data, PROMPTD_GRPC_LISTEN: `127.0.0.1:${port}` };
  service = await spawnService(env);
  const run = against(service.grpcAddress);
  cli = (line, surroundings) => run(line, { env: { PROMPTD_API_KEY: key }, ...surroundings });
}

/** In this process, closed with the test. */
function register(prompts: Parameters<typeof registerPrompts>[0], options: RegisterOptions = {}) {
  const registered = registerPrompts(prompts, { address: service.grpcAddress, ...options });
  onTestFinished(() => registered.close());
  return registered;
}

interface VersionJson {
  version: number;
  labels: string[];
  commitMessage: string;
  callsBy: { label: string; arm: string; calls: string }[];
}

interface ChangeJson {
  kind: string;
  versions: number[];
  labels: { label: string; fromVersion: number; toVersion: number }[];
  actor: string;
  reason: string;
}

/** Every version of a prompt, oldest first, without `latest`. */
async function versionsOf(name: string) {
  const { versions } = JSON.parse((await cli(`versions ${name} --json`)).out);
  return (versions as VersionJson[]).reverse().map(({ labels, ...version }) => ({
    ...version,
    labels: labels.filter((label) => label !== "latest"),
  }));
}

/** The history of a prompt, oldest first, as texts such as `LABELS_SET tracking 1>2 by key_1: why`. */
async function historyOf(name: string): Promise<string[]> {
  const { changes } = JSON.parse((await cli(`changes ${name} --json`)).out);
  return (changes as ChangeJson[]).reverse().map((change) => {
    const { kind, versions, labels, actor, reason } = change;
    const moves = labels.map((move) => `${move.label} ${move.fromVersion}>${move.toVersion}`);
    const what = [kind.replace("KIND_", ""), ...versions, ...moves].join(" ");
    return `${what} by ${actor}: ${reason}`;
  });
}

/** Makes a key; commands are run with its secret from then on, unless it is for somebody else. */
async function makeKey(scopes: readonly string[], isOurs = false) {
  const flags = scopes.map((scope) => `--scope ${scope}`).join(" ");
  const { out, err } = await cli(`keys create test ${flags} --data-dir ${data}`);
  const secret = out.trim();
  if (isOurs) key = secret;
  return { secret, id: err.split(" ")[0] ?? "" };
}

const TRIAGE = "Sort this ticket for {{product}}.";
const SHORTER = "Sort: {{product}}.";
const REPLY = {
  type: "chat",
  template: [
    { role: "system", content: "Answer kindly." },
    { type: "placeholder", name: "history" },
  ],
  config: { temperature: 0.5 },
  tags: ["support"],
} as const;

describe("an application with prompts in its code", () => {
  it("has a history that tells what was registered, changed, adopted and taken back", async () => {
    await serve();
    const person = await makeKey(["read", "write", "release", "admin"], true);
    const app = await makeKey(["read", "write", "release"]);
    const access = { address: service.grpcAddress, apiKey: app.secret, timeoutMs: 10_000 };
    const options = { ...access, application: "billing" };
    const old = { "support/triage": TRIAGE, "support/reply": REPLY };
    const changed = { ...old, "support/triage": SHORTER };

    const first = startApplication(old, { ...options, gitCommit: "aaa111" });
    expect(await first.registered()).toEqual([
      { name: "support/triage", version: 1, created: true, mode: "tracking" },
      { name: "support/reply", version: 1, created: true, mode: "tracking" },
    ]);
    expect((await cli("list --label tracking")).out).toMatch(
      /support\/reply +chat +1 +tracking=1 +support .*\nsupport\/triage +text +1 +tracking=1 /,
    );
    const served = await first.get("support/triage", { userId: "user-1" });
    expect(served).toMatchObject({ body: { template: TRIAGE }, version: 1, from: "code" });
    expect(served.resolution).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      traceAttributes: {
        "langfuse.observation.prompt.name": "support/triage",
        "langfuse.observation.prompt.version": "1",
      },
    });
    const history = [{ role: "user", content: "Where is it?" }];
    expect(await first.compile("support/reply", { placeholders: { history } })).toMatchObject({
      messages: [{ role: "system", content: "Answer kindly." }, ...history],
      config: { temperature: 0.5 },
      from: "code",
      version: 1,
    });
    expect(await first.end()).toBe(0);

    const second = startApplication(changed, { ...options, gitCommit: "bbb222" });
    expect(await second.registered()).toEqual([
      { name: "support/triage", version: 2, created: true, mode: "tracking" },
      { name: "support/reply", version: 1, created: false, mode: "tracking" },
    ]);
    await second.get("support/triage");
    await second.get("support/triage");
    expect(await second.end()).toBe(0);

    // Back at the old commit, and then both at once.
    const again = startApplication(old, { ...options, gitCommit: "aaa111" });
    expect((await again.registered())[0]).toMatchObject({ version: 1, created: false });
    await again.end();
    const [a, b] = [
      startApplication(old, { ...options, gitCommit: "aaa111" }),
      startApplication(changed, { ...options, gitCommit: "bbb222" }),
    ];
    const both = await Promise.all([a.registered(), b.registered()]);
    expect(both.flat().filter(({ created }) => created)).toEqual([]);
    await a.end();
    const told = (await versionsOf("support/triage")).map((each) => [
      each.version,
      each.commitMessage,
    ]);
    expect(told).toEqual([
      [1, "registered by billing at aaa111"],
      [2, "registered by billing at bbb222"],
    ]);

    // It runs on while its prompt is adopted, changed and split.
    const adopted = await cli("adopt support/triage --version 2");
    expect(adopted).toMatchObject({ code: 0, err: "" });
    const managed = await until(
      () => b.get("support/triage"),
      ({ from }) => from === "service",
    );
    expect(managed).toMatchObject({ body: { template: SHORTER }, version: 2 });
    await cli("create support/triage - --label production", {
      stdin: "Managed: {{product}}.",
    });
    const compiled = await b.compile("support/triage", { variables: { product: "Acme" } });
    expect(compiled).toMatchObject({ text: "Managed: Acme.", version: 3, from: "service" });
    await expect(b.compile("support/triage")).rejects.toMatchObject({ code: "invalid" });
    await cli("rollout set support/triage --arm canary=1:50%");
    const users = Array.from({ length: 40 }, (_, user) => `user-${user}`);
    const arms = await Promise.all(
      users.map(async (userId) => {
        const { version, resolution } = await b.get("support/triage", { userId });
        return `${resolution?.arm} ${version}`;
      }),
    );
    expect(new Set(arms)).toEqual(new Set(["control 3", "canary 1"]));
    // A managed prompt is not written to, whatever the code says.
    const before = await historyOf("support/triage");
    const third = startApplication({ "support/triage": "other" }, { ...options, gitCommit: "c" });
    expect(await third.registered()).toEqual([
      { name: "support/triage", created: false, mode: "managed" },
    ]);
    expect(await third.get("support/triage")).toMatchObject({ from: "service" });
    await third.end();
    expect(await historyOf("support/triage")).toEqual(before);

    // Once nobody manages it any more, the code's own is back.
    await cli("label remove support/triage production");
    const own = await until(
      () => b.get("support/triage"),
      ({ from }) => from === "code",
    );
    expect(own).toMatchObject({ body: { template: SHORTER }, version: 2, resolution: {} });
    expect(await b.end()).toBe(0);

    const byApp = (commit: string) => `by ${app.id}: registered by billing at ${commit}`;
    expect(before.slice(0, 4)).toEqual([
      `VERSION_CREATED 1 tracking 0>1 ${byApp("aaa111")}`,
      `VERSION_CREATED 2 ${byApp("bbb222")}`,
      `LABELS_SET tracking 1>2 ${byApp("bbb222")}`,
      `LABELS_SET tracking 2>1 ${byApp("aaa111")}`,
    ]);
    expect((await historyOf("support/triage")).slice(-4)).toEqual([
      expect.stringMatching(
        `^LABELS_SET production 0>2 tracking [12]>0 by ${person.id}: adopt version 2$`,
      ),
      `VERSION_CREATED 3 production 2>3 by ${person.id}: `,
      `ROLLOUT_SET by ${person.id}: `,
      `LABELS_SET production 3>0 by ${person.id}: `,
    ]);

    // What was counted is written down when the service stops.
    expect(await service.stop()).toBe(0);
    await serve();
    const calls = Object.fromEntries(
      (await versionsOf("support/triage")).flatMap(({ version, callsBy }) =>
        callsBy.map(({ label, arm, calls }) => [`${version} ${label} ${arm}`, Number(calls)]),
      ),
    );
    expect(calls["1  "]).toBe(1);
    expect(calls["2  "]).toBeGreaterThanOrEqual(3);
    const split = arms.filter((arm) => arm === "canary 1").length;
    expect(calls["1 production canary"]).toBe(split);
    expect(calls["3 production control"]).toBe(40 - split + 1);
    expect(calls["3 production "]).toBe(2);
  }, 120_000);

  it("is given its own back where the adoption is undone", async () => {
    await serve();
    const prompts = register({ p: "from the code {{x}}" });
    await prompts.registered();
    expect(await cli("adopt p")).toMatchObject({ code: 0 });
    await until(
      () => prompts.get("p"),
      ({ from }) => from === "service",
    );
    expect(await cli("label undo p")).toMatchObject({ code: 0 });
    const own = await until(
      () => prompts.get("p"),
      ({ from }) => from === "code",
    );
    expect(own).toMatchObject({ version: 1, resolution: {} });
    expect(await versionsOf("p")).toMatchObject([{ version: 1, labels: ["tracking"] }]);
  });

  it("registers once what starts in several places at the same time", async () => {
    await serve();
    const all = Array.from({ length: 6 }, (_, at) =>
      register(
        Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`p${n}`, `text ${n} ${at % 2}`])),
      ),
    );
    await Promise.all(all.map((prompts) => prompts.registered()));
    for (let n = 0; n < 30; n++) {
      const versions = await versionsOf(`p${n}`);
      expect(versions).toHaveLength(2);
      expect(versions.flatMap(({ labels }) => labels)).toEqual(["tracking"]);
    }
  });
});

it("is adopted whole while others register it, or not at all", async () => {
  await serve();
  const names = Array.from({ length: 20 }, (_, at) => `p${at}`);
  const commit = (text: string) =>
    register(Object.fromEntries(names.map((name) => [name, text]))).registered();
  await commit("one");
  const registering = [commit("two"), commit("three")];
  const adopted = await Promise.all(names.map((name) => cli(`adopt ${name}`)));
  await Promise.all(registering);
  for (const [at, name] of names.entries()) {
    const labels = (await versionsOf(name)).flatMap((version) => version.labels);
    expect(labels).toEqual([adopted[at]?.code === 0 ? "production" : "tracking"]);
  }
});

describe("a version with the code's content", () => {
  it("is found however many came after it", async () => {
    await serve();
    const create = (value: string) =>
      service.prompts.createVersion({ name: "p", template: { case: "text", value } });
    await create("code");
    for (let version = 2; version <= 202; version++) await create(`text ${version}`);
    const prompts = register({ p: "code" });
    expect(await prompts.registered()).toEqual([
      { name: "p", version: 1, created: false, mode: "tracking" },
    ]);
  });

  it("is made and found where prompts live in a Langfuse", async () => {
    const chain = await startChain();
    onTestFinished(() => chain.close());
    const address = chain.service.runtime.grpcAddress;
    const run = async (text: string) => {
      const prompts = registerPrompts({ p: text, chat: REPLY }, { address, timeoutMs: 10_000 });
      const [{ version, created } = {}] = await prompts.registered();
      const { resolution } = await prompts.get("p");
      await prompts.close();
      return [version, created, resolution !== undefined];
    };
    expect(await run("old")).toEqual([1, true, true]);
    expect(await run("new")).toEqual([2, true, true]);
    expect(await run("old")).toEqual([1, false, true]);
    const { versions } = await chain.service.prompts.listVersions({ name: "p" });
    expect(versions.map(({ labels }) => labels)).toEqual([["latest"], ["tracking"]]);
  });
});

describe("without the service an application", () => {
  it("starts, goes on when it is killed, and has it again when it is back", async () => {
    const port = await freePort();
    const told: string[] = [];
    const prompts = registerPrompts(
      { p: "code", q: "code" },
      { address: `127.0.0.1:${port}`, onError: ({ code }) => told.push(code) },
    );
    onTestFinished(() => prompts.close());
    expect(await prompts.get("p")).toEqual({
      name: "p",
      body: { type: "text", format: "mustache", template: "code", config: {} },
      from: "code",
    });
    await vi.waitFor(() => expect(told).toContain("unavailable"));

    await serve(port);
    expect(await prompts.registered()).toMatchObject([{ version: 1 }, { version: 1 }]);
    await cli("create q - --label production", { stdin: "managed" });
    const resolved = await until(
      () => prompts.get("p"),
      ({ resolution }) => resolution !== undefined,
    );
    expect(resolved).toMatchObject({ from: "code", version: 1 });
    const managed = await until(
      () => prompts.get("q"),
      ({ from }) => from === "service",
    );

    await service.stop("SIGKILL");
    const { resolution, ...same } = managed;
    expect(await prompts.get("q")).toEqual({ ...same, from: "memory" });
    const own = await prompts.get("p");
    expect(own).toMatchObject({ body: { template: "code" }, from: "code", version: 1 });
    expect(own).not.toHaveProperty("resolution");

    await serve(port);
    await until(
      () => prompts.get("q"),
      ({ from }) => from === "service",
    );
    await until(
      () => prompts.get("p"),
      ({ resolution }) => resolution !== undefined,
    );
  }, 60_000);

  it("waits once at most for one that hangs", async () => {
    await serve();
    const prompts = register({ p: "code", q: "code" }, { timeoutMs: 500 });
    await prompts.registered();
    process.kill(service.pid, "SIGSTOP");
    expect(await prompts.get("p")).not.toHaveProperty("resolution");
    for (let call = 0; call < 100; call++) {
      const answer = prompts.get(call % 2 === 0 ? "p" : "q");
      // Before the event loop has turned once, which no call of a service could be.
      expect(await Promise.race([answer, setImmediate("late")])).toMatchObject({ from: "code" });
    }
    process.kill(service.pid, "SIGCONT");
    await until(
      () => prompts.get("q"),
      ({ resolution }) => resolution !== undefined,
    );
  }, 60_000);

  it("comes to its end by itself, with the service or without", async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const alone = startApplication({ p: "code" }, { address: nobody });
    expect(await alone.get("p")).toMatchObject({ from: "code" });
    expect(await alone.end()).toBe(0);

    await serve();
    const watched = startApplication({ p: "code" }, { address: service.grpcAddress });
    await watched.registered();
    await cli("adopt p");
    await until(
      () => watched.get("p"),
      ({ from }) => from === "service",
    );
    process.kill(service.pid, "SIGSTOP");
    expect(await watched.end()).toBe(0);
  });
});

describe("what a service refuses", () => {
  it("is told with the prompt that it is about, and holds up no other", async () => {
    await serve();
    await cli("create support/chat - --chat", { stdin: '{{role "user"}}\nhello\n' });
    const told: string[] = [];
    const prompts = register(
      { "support/chat": "a text", fine: "fine" },
      { onError: ({ message }) => told.push(message) },
    );
    const message = expect.stringContaining("cannot be registered: support/chat: ");
    await expect(prompts.registered()).rejects.toMatchObject({ code: "refused", message });
    expect(told).toEqual([message]);
    expect(await versionsOf("fine")).toMatchObject([{ labels: ["tracking"] }]);
    expect(await prompts.get("support/chat")).toMatchObject({ from: "code" });
  });

  it("is told to those whose key may not register, who are served all the same", async () => {
    await serve();
    await cli("create p - --label production", { stdin: "managed" });
    const { secret: apiKey } = await makeKey(["read"]);
    const prompts = register({ p: "code", q: "code" }, { apiKey });
    await expect(prompts.registered()).rejects.toMatchObject({
      code: "forbidden",
      message: expect.stringContaining("q: "),
    });
    expect(await prompts.get("p")).toMatchObject({
      from: "service",
      body: { template: "managed" },
    });
    expect(await prompts.get("q")).toMatchObject({ from: "code" });

    const strangers = register({ p: "code" }, { apiKey: "promptd_nobody" });
    await expect(strangers.registered()).rejects.toMatchObject({ code: "unauthenticated" });
    expect(await strangers.get("p")).toMatchObject({ from: "code" });
  });

  it("is not waited for once it is closed", async () => {
    await serve();
    process.kill(service.pid, "SIGSTOP");
    const prompts = register({ p: "code" });
    const registered = expect(prompts.registered()).rejects.toMatchObject({ code: "canceled" });
    await prompts.close();
    await registered;
    expect(await prompts.get("p")).toMatchObject({ from: "code" });
  });
});

it.each([
  [{ apiKey: "one\ntwo" }, "API key: expected a secret"],
  [{ timeoutMs: 0 }, "timeoutMs: expected more than 0"],
  [{ timeoutMs: 2 ** 40 }, "timeoutMs: expected more than 0 and at most 3600000"],
])("options such as %j are refused at once, and no key is told", (options, message) => {
  let thrown: unknown;
  try {
    void registerPrompts({ p: "code" }, { address: "127.0.0.1:1", ...options }).close();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "invalid", message: expect.stringContaining(message) });
  expect((thrown as Error).message).not.toContain("two");
});

it("files for TLS may come later", async () => {
  await serve();
  const caCert = join(data, "ca.crt");
  const told: string[] = [];
  const prompts = register(
    { p: "code" },
    { tls: { caCert }, onError: ({ message }) => told.push(message) },
  );
  expect(await prompts.get("p")).toMatchObject({ from: "code" });
  await vi.waitFor(() => expect(told.join()).toContain("ca.crt: it does not exist"));
  await writeFile(caCert, rootCertificates[0] ?? "");
  // This service has no TLS.
  await vi.waitFor(() => expect(told.join()).toContain("it does not speak TLS"), 10_000);
});
