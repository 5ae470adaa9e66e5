import { afterEach, beforeEach, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";
import { type Ended, promptd } from "./promptd.ts";

let service: TestService;

/** Command lines with the secrets of two keys. */
let first: (line: string | string[]) => Promise<Ended>;
let second: (line: string | string[]) => Promise<Ended>;
let ids: string[];

beforeEach(async () => {
  service = await startService();
  ids = [];
  first = await person("first");
  second = await person("second");
  for (const text of ["one", "two", "three"]) await first(["create", "p", text]);
});

afterEach(() => service.close());

/** Somebody with a key of every scope; `create` takes the text itself. */
async function person(name: string) {
  const scopes = ["read", "write", "release", "admin"].flatMap((scope) => ["--scope", scope]);
  const made = await promptd(["keys", "create", name, ...scopes, "--data-dir", service.dataDir]);
  ids.push(made.err.split(" ")[0] ?? "");
  const env = {
    PROMPTD_ADDRESS: service.runtime.grpcAddress,
    PROMPTD_API_KEY: made.out.trim(),
  };
  return (line: string | string[]) => {
    const args = typeof line === "string" ? line.split(" ") : line;
    const [command, prompt = "", text = ""] = args;
    if (command === "create") return promptd(["create", prompt, "-"], { env, stdin: text });
    return promptd(args, { env });
  };
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
const idIn = ({ out }: Ended) => UUID.exec(out)?.[0] ?? "";

it("protects labels, and tells which", async () => {
  expect(await first("policy set staging")).toMatchObject({
    code: 0,
    out: "protection of staging: protected (before: none)\n",
  });
  await first(["policy", "set", "production", "--approval", "--reason", "money"]);
  expect((await first("policy list")).out).toMatch(
    /^LABEL +PROTECTION\nproduction +protected, with approval\nstaging +protected\n$/,
  );
  expect((await first("policy set staging")).out).toContain("(as before)");
  expect((await first("policy remove staging")).out).toBe(
    "protection of staging: none (before: protected)\n",
  );
  const listed = JSON.parse((await first("policy list --json")).out);
  expect(listed.policies).toEqual([
    { label: "production", protection: "LABEL_PROTECTION_APPROVAL" },
  ]);
  const { out } = await first("changes production");
  expect(out).toMatch(/policy none -> protected, with approval +key_\w+ +127\.0\.0\.1 +money\n/);
  expect(await first("policy set latest")).toMatchObject({ code: 1 });
});

it("asks with one key and moves with another", async () => {
  await first("policy set production --approval");
  const asked = await first(["label", "set", "p", "production=2", "--reason", "shorter"]);
  const id = idIn(asked);
  expect(asked).toEqual({
    code: 0,
    err: "",
    out: [
      "not moved yet, waits for approval: production (none) -> 2\n",
      `to approve it with another key: promptd approve ${id}\n`,
      "p is at revision 7\n",
    ].join(""),
  });
  expect((await first("get p")).code).toBe(3);
  expect((await second("pending")).out).toMatch(
    new RegExp(`\n${id} +\\S+Z +p +production \\(none\\) -> 2 +${ids[0]} +shorter\n$`),
  );
  expect(await first(`approve ${id}`)).toMatchObject({
    code: 6,
    err: "promptd: a pending change is approved by another key than its author's\n",
  });
  expect(await second(["approve", id, "--reason", "read it"])).toEqual({
    code: 0,
    err: "",
    out: "approved: production (none) -> 2\np is at revision 8\n",
  });
  expect((await first("get p")).out).toBe("two");
  expect((await second(`approve ${id}`)).code).toBe(3);

  const { out } = await first("changes p --limit 2");
  expect(out).toMatch(
    new RegExp(
      `production \\(none\\) -> 2; approved by ${ids[1]} \\(read it\\) +${ids[0]} +127\\.0\\.0\\.1 +shorter`,
    ),
  );
  expect(out).toMatch(
    new RegExp(`requested production \\(none\\) -> 2 +${ids[0]} +127\\.0\\.0\\.1 +shorter`),
  );
  const verified = await promptd(["changes", "verify", "--data-dir", service.dataDir]);
  expect(verified.out).toMatch(/^8 changes, none altered/);
});

it("does not move over others, and lets both keys reject", async () => {
  await first("policy set production --approval");
  const [late, soon] = [
    idIn(await first("label set p production=1")),
    idIn(await first("label set p production=3")),
  ];
  await second(`approve ${soon}`);
  const { code, err } = await second(`approve ${late}`);
  expect(code).toBe(4);
  expect(err).toContain("production (none) -> 3; reject it and ask again");
  expect((await second(["reject", late])).code).toBe(2);
  expect((await second(["reject", late, "--reason", "late"])).out).toContain(
    "rejected: production (none) -> 1\n",
  );
  expect((await first("changes p --limit 1")).out).toMatch(/rejected production .* late\n/);
  const own = idIn(await first("label remove p production"));
  expect((await first(["reject", own, "--reason", "no"])).code).toBe(0);
  expect(JSON.parse((await first("pending --json")).out)).toEqual({ pending: [] });
});

it("undoes across requests and policies, with approval where it is needed", async () => {
  await first("label set p production=1 free=1");
  await first("label set p free=2");
  await first("policy set production --approval");
  const id = idIn(await first("label set p production=3"));
  // A request moved nothing, so the newest move is the one before.
  expect((await first("label undo p")).out).toContain("free 2 -> 1\n");
  await second(["reject", id, "--reason", "no"]);
  expect((await first("label undo p")).out).toContain("free 1 -> 2\n");

  await second(`approve ${idIn(await first("label set p production=2"))}`);
  const undo = await first("label undo p");
  expect(undo.out).toContain("waits for approval: production 2 -> 1\n");
  expect((await first("get p")).out).toBe("two");
  const answer = await first("label undo p --json");
  expect(JSON.parse(answer.out).pending).toMatchObject({ reason: "undo of revision 14" });
  await second(`approve ${idIn(undo)}`);
  expect((await first("get p")).out).toBe("one");
  // The policy is no change of the prompt, and the request moved nothing.
  expect((await first("label undo p --revision 8")).err).toContain("p has no revision 8");
  expect((await first("label undo p --revision 9")).err).toContain("moved no label");
});

it("undoes the labels of a prompt that has the name of a protected label", async () => {
  await first(["create", "production", "text"]);
  await first("label set production free=1");
  await first("policy set production");
  expect((await first("label undo production")).out).toContain("free 1 -> (none)\n");
});
