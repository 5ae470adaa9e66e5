import { afterEach, beforeEach, expect, it } from "vitest";
import { Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { type LangfuseService, startWithKeys } from "../langfuse/service.ts";
import { DeployBench } from "./bench.ts";

let service: LangfuseService;
let bench: DeployBench;
let approver: Record<string, string>;

beforeEach(async () => {
  service = await startWithKeys();
  bench = await DeployBench.open(service, service.admin.secretKey);
  const { READ, RELEASE } = Scope;
  approver = { PROMPTD_API_KEY: (await service.newKey([READ, RELEASE])).secretKey };
  await bench.write("a.prompt", "---\nlabels: [production, staging]\n---\none");
  expect(await bench.run()).toMatchObject({ code: 0 });
  const ended = await bench.cli("policy set production --approval --reason x");
  expect(ended).toMatchObject({ code: 0 });
});

afterEach(() => bench.close());

async function labels(): Promise<Record<string, number>> {
  const listed = JSON.parse((await bench.cli("list --json")).out);
  const [{ labels }] = listed.prompts;
  return Object.fromEntries(
    labels.map(({ label, version }: { label: string; version: number }) => [label, version]),
  );
}

it("a label that needs approval is asked for once, and the others move", async () => {
  await bench.write("a.prompt", "---\nlabels: [production, staging]\n---\ntwo");
  const asked = await bench.run();
  expect(asked).toMatchObject({ code: 0, err: "" });
  expect(asked.out).toContain(
    "+ a  new version; production 1 -> new waits for approval; staging 1 -> new\n",
  );
  expect(asked.out).toMatch(
    /^\+ a {2}version 2; production 1 -> 2 waits for approval: promptd approve [0-9a-f-]{36}; staging 1 -> 2$/m,
  );
  expect(await labels()).toEqual({ latest: 2, production: 1, staging: 2 });
  const waiting = async () => JSON.parse((await bench.cli("pending --json")).out).pending;
  const [pending, ...others] = await waiting();
  expect(others).toEqual([]);

  const again = await bench.run();
  expect(again).toMatchObject({ code: 0, err: "" });
  expect(again.out).toBe(
    `? a  production 1 -> 2 waits for approval: promptd approve ${pending.id}\n\nPlan: 0 to create, 0 to move, 0 to prune, 0 left, 1 to wait for approval\n`,
  );
  expect(await waiting()).toEqual([pending]);
  // Nor does it keep others from being deployed.
  await bench.write("b.prompt", "---\nlabels: []\n---\nb");
  const beside = await bench.run();
  expect(beside).toMatchObject({ code: 0, err: "" });
  expect(beside.out).toMatch(/^Done: 1 created, .*, 0 left, 1 waiting for approval$/m);
  const approved = await bench.cli(`approve ${pending.id} --reason yes`, { env: approver });
  expect(approved).toMatchObject({ code: 0 });
  expect(await labels()).toEqual({ latest: 2, production: 2, staging: 2 });
  expect((await bench.run()).out).toBe("Plan: nothing to do, 2 left\n");
});

it("a new prompt is made without it, and a prune asks for it", async () => {
  await bench.write("b.md", "b");
  await bench.remove("a.prompt");
  const ended = await bench.run("--prune");
  expect(ended).toMatchObject({ code: 0 });
  expect(ended.out).toMatch(/^\? a {2}production 1 -> \(none\) waits for approval: promptd/m);
  expect(ended.out).toMatch(/^\+ b {2}version 1; production \(none\) -> 1 waits for approval: p/m);
  expect(ended.out).toMatch(/^Done: 1 created, 0 moved, 0 pruned, 0 left, 1 waiting for approval/m);
  expect(await labels()).toEqual({ latest: 1, production: 1, staging: 1 });
  expect((await bench.run("--prune")).out).toMatch(/^Plan: .*, 2 to wait for approval$/m);
});

it("a canary cannot wait for it", async () => {
  await bench.write("a.prompt", "two");
  const ended = await bench.run("--canary 10");
  expect(ended).toMatchObject({ code: 1 });
  expect(ended.out).toContain("! a  a.prompt: production needs the approval of a second key");
});

it("a key without the scope to release is told, and what was made stays", async () => {
  await bench.cli("policy remove production --reason x");
  const { READ, WRITE } = Scope;
  const { secretKey } = await service.newKey([READ, WRITE]);
  await bench.write("a.prompt", "two");
  const env = { PROMPTD_API_KEY: secretKey };
  const ended = await bench.run("", { env });
  expect(ended).toMatchObject({ code: 6 });
  expect(ended.out).toContain("! a  a.prompt: this key lacks the scope release");
  expect(await labels()).toEqual({ latest: 2, production: 1, staging: 1 });
  expect((await bench.run()).out).toContain("~ a  production 1 -> 2\n");
});

it("a key that is limited to some prompts deploys those", async () => {
  await bench.write("b/c.md", "c");
  const { READ, WRITE, RELEASE } = Scope;
  const { secretKey } = await service.newKey([READ, WRITE, RELEASE], ["b/*"]);
  const env = { PROMPTD_API_KEY: secretKey };
  expect(await bench.run("", { env })).toMatchObject({ code: 6, out: "" });
  expect(await bench.run("b/* --prune", { env })).toMatchObject({ code: 0, err: "" });
  expect((await bench.run("b/*", { env })).out).toMatch(
    /^\? b\/c {2}production \(none\) -> 1 waits/,
  );
});
