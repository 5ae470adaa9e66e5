import { afterEach, beforeEach, expect, it, onTestFinished } from "vitest";
import { startChain } from "../langfuse/behind.ts";
import { startService, type TestService } from "../support/service.ts";
import { against, promptd } from "./promptd.ts";

let service: TestService;
let cli: ReturnType<typeof against>;

beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  for (const stdin of ["one", "two", "three"]) await cli("create p -", { stdin });
  await cli("label set p tracking=2");
});

afterEach(() => service.close());

it("puts the label on the version that is tracked, and can be undone", async () => {
  expect(await cli("adopt p")).toEqual({
    code: 0,
    out: "production (none) -> 2\ntracking 2 -> (none)\np is at revision 5\n",
    err: "",
  });
  expect((await cli("changes p --limit 1")).out).toContain("adopt version 2");
  expect((await cli("get p")).out).toBe("two");
  expect((await cli("label undo p")).out).toContain("tracking (none) -> 2\n");
  expect((await cli("get p")).code).toBe(3);
});

it("takes another version and label, and tells programs what undoes it", async () => {
  const { out } = await cli([
    ..."adopt p --version 3 --label eu --json --reason".split(" "),
    "mine",
  ]);
  expect(JSON.parse(out)).toEqual({
    revision: "5",
    previous: [
      { label: "eu", version: 0 },
      { label: "tracking", version: 2 },
    ],
    abortedRollouts: [],
  });
  expect((await cli("changes p --limit 1")).out).toContain("mine");
});

it("refuses what is not tracked, is managed, or not there", async () => {
  expect(await cli("adopt q")).toMatchObject({ code: 3 });
  expect(await cli("adopt p --version 9")).toMatchObject({ code: 3 });
  await cli("label set p production=1");
  expect(await cli("adopt p")).toMatchObject({
    code: 1,
    err: expect.stringContaining("p is managed already: label production is on version 1"),
  });
  await cli("label remove p production tracking");
  expect(await cli("adopt p")).toMatchObject({
    code: 1,
    err: expect.stringContaining("p is not tracked"),
  });
});

it("waits for approval where the label needs it", async () => {
  const keys = "keys create me --scope read --scope write --scope release --scope admin";
  const made = await promptd([...keys.split(" "), "--data-dir", service.dataDir]);
  const env = { PROMPTD_API_KEY: made.out.trim() };
  await cli("policy set production --approval", { env });
  const { code, out } = await cli("adopt p", { env });
  expect(code).toBe(0);
  expect(out).toContain(
    "not moved yet, waits for approval: production (none) -> 2, tracking 2 -> (none)\n",
  );
  expect((await cli("list --label tracking", { env })).out).toContain("tracking=2");
});

it("is refused as a whole where a Langfuse has the prompt, which takes no label off", async () => {
  const chain = await startChain();
  onTestFinished(() => chain.close());
  const there = against(chain.service.runtime.grpcAddress);
  await chain.create({ name: "p", labels: ["tracking"] });
  expect(await there("adopt p")).toMatchObject({
    code: 1,
    err: expect.stringContaining('label "tracking" cannot be taken away'),
  });
  expect((await there("get p")).code).toBe(3);
  expect(await there("label set p production=1")).toMatchObject({ code: 0 });
});
