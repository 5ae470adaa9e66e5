import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startService, type TestService } from "../support/service.ts";
import { against, promptd } from "./promptd.ts";

const NAME = "support/triage";

let service: TestService;
let cli: ReturnType<typeof against>;

/** Versions 1 to 5, of which production has 3. */
beforeEach(async () => {
  service = await startService();
  cli = against(service.runtime.grpcAddress);
  for (const text of ["one", "two", "three", "four", "five"]) {
    await cli(`create ${NAME} -`, { stdin: text });
  }
  await cli(`label set ${NAME} production=3`);
});

afterEach(() => service.close());

const json = async (line: string) => JSON.parse((await cli(`${line} --json`)).out);

/** What a user is answered. `user-1` has bucket 2688, `user-42` bucket 6010. */
const answer = async (user: string) => (await cli(`get ${NAME} --user-id ${user}`)).out;

const WHEN = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;

describe("rollout set", () => {
  it("begins a rollout, and tells who moves", async () => {
    const begun = await cli([
      "rollout",
      "set",
      NAME,
      "--arm",
      "canary=4:30%",
      "--reason",
      "shorter",
    ]);
    expect(begun).toMatchObject({ code: 0, err: "" });
    expect(begun.out.replace(WHEN, "WHEN")).toBe(
      [
        "3000 of 10000 buckets move: control -> canary 3000 (30.00%)",
        "support/triage at production: running",
        "ARM      SENDS TO          WEIGHT  BUCKETS",
        "control  label production  70.00%  7000",
        "canary   version 4         30.00%  3000",
        "salt: support/triage",
        "revision 7 by anonymous at WHEN: shorter",
        "overrides: none",
        "",
      ].join("\n"),
    );
    expect([await answer("user-1"), await answer("user-42")]).toEqual(["four", "three"]);
  });

  it("changes what is named, and leaves the rest", async () => {
    await cli(`label set ${NAME} staging=5`);
    await cli(
      `rollout set ${NAME} --arm canary=4:5% --arm long=label:staging:10% --override a=b=long --override ann=control --salt s`,
    );
    const grown = await cli(`rollout set ${NAME} --weight canary=25.5%`);
    expect(grown.out).toContain(
      "2050 of 10000 buckets move: control -> canary 2050 (20.50%)\nsupport/triage at production: running\n",
    );
    expect((await json(`rollout show ${NAME}`)).rollout).toMatchObject({
      state: "STATE_RUNNING",
      salt: "s",
      arms: [
        { name: "canary", version: 4, weight: 2550 },
        { name: "long", label: "staging", weight: 1000 },
      ],
      overrides: [
        { userId: "a=b", arm: "long" },
        { userId: "ann", arm: "control" },
      ],
    });
    const moved = await cli(`rollout set ${NAME} --arm canary=2:25.5% --remove-override ann`);
    expect(moved.out).toContain("no bucket moves\n");
    const left = await cli(`rollout set ${NAME} --remove-arm long --weight 1%`);
    expect(left.out).toContain("canary   version 2         1.00%   100\nsalt: s\n");
  });

  it("answers programs with the rollout", async () => {
    const set = await json(`rollout set ${NAME} --arm canary=4:0.01%`);
    expect(set).toMatchObject({
      rollout: { label: "production", arms: [{ name: "canary", version: 4, weight: 1 }] },
      previous: [],
    });
  });

  it("splits the callers of another label", async () => {
    await cli(`label set ${NAME} staging=1`);
    const set = await cli(`rollout set ${NAME} --label staging --arm canary=2:100%`);
    expect(set.out).toContain("support/triage at staging: running\n");
    expect(set.out).toContain("control  label staging  0.00%    0\n");
    expect(await answer("user-1")).toBe("three");
    expect((await cli(`get ${NAME} --label staging --user-id user-1`)).out).toBe("two");
  });

  it("begins anew after one that has ended", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:5% --override ann=canary --salt s`);
    await cli(`rollout abort ${NAME}`);
    expect(await cli(`rollout set ${NAME} --weight 10%`)).toMatchObject({
      code: 1,
      err: "promptd: --weight: no rollout runs here; --arm NAME=VERSION:PERCENT begins one\n",
    });
    const again = await cli(`rollout set ${NAME} --arm canary=5:10%`);
    expect(again.out).toContain("control -> canary 1000 (10.00%)");
    expect(again.out).toContain("\nsalt: support/triage\n");
    expect(again.out).toMatch(/\noverrides: none\n$/);
  });

  it("changes nothing with --dry-run", async () => {
    const tried = await cli(`rollout set ${NAME} --arm canary=4:5% --dry-run`);
    expect(tried.out).toBe(
      [
        "500 of 10000 buckets move: control -> canary 500 (5.00%)",
        "ARM      VERSION      WEIGHT",
        "control  3            100.00% -> 95.00%",
        "canary   (none) -> 4  0.00% -> 5.00%",
        "",
      ].join("\n"),
    );
    expect((await cli(`rollout show ${NAME}`)).code).toBe(3);
  });

  it("is refused by the service with what is wrong", async () => {
    const wrong = await cli(`rollout set ${NAME} --arm canary=9:60% --arm long=label:nowhere:40%`);
    expect(wrong.code).toBe(1);
    expect(wrong.err).toMatch(
      /^ {2}definition\.arms\[0\]\.version: .*\n {2}definition\.arms\[1\]\.label: /m,
    );
    expect((await cli(`rollout set ${NAME} --arm a=4:60% --arm b=4:41%`)).code).toBe(1);
    expect((await cli(`rollout set ${NAME} --label latest --arm a=4:5%`)).code).toBe(1);
    expect((await cli("rollout set nothing --arm a=4:5%")).code).not.toBe(0);
    expect((await cli(`rollout show ${NAME}`)).code).toBe(3);
  });

  it("heeds the revision that is expected", async () => {
    expect(await cli(`rollout set ${NAME} --arm a=4:5% --expected-revision 7`)).toMatchObject({
      code: 4,
      out: "",
    });
    const begun = await cli(`rollout set ${NAME} --arm a=4:5% --expected-revision 0`);
    expect(begun.code).toBe(0);
    expect(await cli(`rollout set ${NAME} --weight 6% --expected-revision 0`)).toMatchObject({
      code: 4,
      err: "promptd: the rollout of support/triage at production is at revision 7, not 0\n",
    });
    expect((await cli(`rollout set ${NAME} --weight 6% --expected-revision 7`)).code).toBe(0);
    expect((await cli(`rollout abort ${NAME} --expected-revision 7`)).code).toBe(4);
    expect((await cli(`rollout promote ${NAME} --expected-revision 7`)).code).toBe(4);
  });

  it.each([
    ["rollout set p", "nothing is named that changes"],
    ["rollout set p --reason why", "nothing is named that changes"],
    ["rollout set p --arm canary=4", "expected NAME=VERSION:PERCENT"],
    ["rollout set p --arm canary=4:5", "expected a percentage"],
    ["rollout set p --arm canary=4:5.001%", "expected a percentage"],
    ["rollout set p --arm canary=0:5%", "expected a whole number"],
    ["rollout set p --arm canary=staging:5%", "expected a whole number"],
    ["rollout set p --arm canary=label::5%", "expected NAME=VERSION:PERCENT"],
    ["rollout set p --weight canary", "expected a percentage"],
    ["rollout set p --override ann", "expected USER=ARM"],
    ["rollout set p --override =canary", "expected USER=ARM"],
    ["rollout list --state done", "expected running, paused, promoted, aborted"],
  ])("takes `%s` for wrong usage", async (line, problem) => {
    const { code, err } = await cli(line);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(problem) });
  });
});

describe("rollout show and list", () => {
  it("show the first overrides, and programs all", async () => {
    const users = Array.from({ length: 23 }, (_, index) => `user-${index}`);
    const overrides = users.flatMap((user) => ["--override", `${user}=canary`]);
    await cli(["rollout", "set", NAME, "--arm", "canary=4:0%", ...overrides]);
    const { out } = await cli(`rollout show ${NAME}`);
    expect(out).toContain("overrides: 23\nUSER ");
    expect(out.match(/^user-\d+ +canary$/gm)).toHaveLength(20);
    expect(out).toContain("and 3 more, which --json shows\n");
    expect((await json(`rollout show ${NAME}`)).rollout.overrides).toHaveLength(23);
    expect(await answer("user-22")).toBe("four");
  });

  it("list rollouts of prompts and states", async () => {
    await cli("create other - --label production", { stdin: "x" });
    await cli(["rollout", "set", "other", "--arm", "a=1:1%", "--reason", "try\nit"]);
    await cli(`rollout set ${NAME} --arm canary=4:5% --arm long=label:production:10%`);
    await cli(`rollout abort ${NAME}`);
    const { out } = await cli("rollout list");
    const [head, ...rows] = out.trimEnd().split("\n");
    expect(head).toMatch(/^NAME +LABEL +STATE +ARMS +REVISION +TIME +ACTOR +REASON$/);
    expect(rows).toEqual([
      expect.stringMatching(
        /^other +production +running +a 1% of version 1 +8 +\S+Z +anonymous +try it$/,
      ),
      expect.stringMatching(
        /^support\/triage +production +aborted +canary 5% of version 4, long 10% of label production +10 /,
      ),
    ]);
    expect((await cli("rollout list --state running --state paused")).out).not.toContain("support");
    const ofOne = await json(`rollout list --name ${NAME}`);
    expect(ofOne.rollouts).toMatchObject([{ name: NAME, state: "STATE_ABORTED" }]);
    expect(Object.keys(ofOne)).toEqual(["rollouts"]);
  });

  it("say where there is no rollout", async () => {
    expect(await cli(`rollout show ${NAME}`)).toMatchObject({ code: 3, out: "" });
    expect(await cli(`rollout abort ${NAME}`)).toMatchObject({ code: 3, out: "" });
    expect(await cli(`rollout delete ${NAME}`)).toMatchObject({ code: 3, out: "" });
  });
});

describe("rollout preview", () => {
  it("tells who would see what, and changes nothing", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:5%`);
    const preview = await cli(
      `rollout preview ${NAME} --weight 30% --override user-42=canary --user user-1 --user user-42`,
    );
    expect(preview.out).toBe(
      [
        "2500 of 10000 buckets move: control -> canary 2500 (25.00%)",
        "ARM      VERSION  WEIGHT",
        "control  3        95.00% -> 70.00%",
        "canary   4        5.00% -> 30.00%",
        "",
        "USER     BEFORE               AFTER               REASON    BUCKET",
        "user-1   control (version 3)  canary (version 4)  split     2688",
        "user-42  control (version 3)  canary (version 4)  override",
        "",
      ].join("\n"),
    );
    expect(await answer("user-1")).toBe("three");
  });

  it("tells what users are given now", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    const now = await cli(`rollout preview ${NAME} --user user-1`);
    expect(now.out).toContain("no bucket moves\n");
    expect(now.out).toMatch(/^user-1 +canary \(version 4\) +canary \(version 4\) +split +2688$/m);
  });

  it("reads users from a file or stdin", async () => {
    const folder = await mkdtemp(join(tmpdir(), "promptd-users-"));
    const file = join(folder, "users.txt");
    await writeFile(file, "\ufeffuser-1\r\nuser 42\n\n José \n");
    const line = `rollout preview ${NAME} --arm canary=4:30% --user first`;
    const fromFile = await json(`${line} --users-file ${file}`);
    await rm(folder, { recursive: true });
    const ids = fromFile.users.map(({ userId }: { userId: string }) => userId);
    expect(ids).toEqual(["first", "user-1", "user 42", " José "]);
    expect(fromFile.users[1]).toMatchObject({
      before: { arm: "control", version: 3, reason: "REASON_LABEL" },
      after: { arm: "canary", version: 4, reason: "REASON_SPLIT", bucket: 2688 },
    });
    const { out } = await cli(`${line} --users-file - --json`, {
      stdin: "user-1\nuser 42\n\n José ",
    });
    expect(JSON.parse(out)).toEqual(fromFile);
    expect(await cli(`${line} --users-file ${file}`)).toMatchObject({
      code: 1,
      err: `promptd: ${file}: it does not exist\n`,
    });
  });
});

describe("rollout pause, resume and abort", () => {
  it("freeze the weights, let go on, and send everybody back", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    const paused = await cli(["rollout", "pause", NAME, "--reason", "lunch"]);
    expect(paused.out).toContain(
      "support/triage at production: paused; it splits, and its weights stay as they are\n",
    );
    expect(paused.out).toMatch(/^revision 8 by anonymous at \S+: lunch$/m);
    expect(await answer("user-1")).toBe("four");
    expect(await cli(`rollout set ${NAME} --weight 50%`)).toMatchObject({ code: 1, out: "" });

    expect((await cli(`rollout resume ${NAME}`)).out).toContain(": running\n");
    expect((await cli(`rollout set ${NAME} --weight 50%`)).code).toBe(0);

    const aborted = await cli(`rollout abort ${NAME} --reason bad`);
    expect(aborted.out).toContain(": aborted; everybody gets production\n");
    expect(await answer("user-1")).toBe("three");
    expect(await cli(`rollout resume ${NAME}`)).toMatchObject({ code: 1 });

    const { out } = await cli(`changes ${NAME} --limit 5`);
    const told = out.match(/(?<=rollout production ).*?(?= {2})/g);
    expect(told).toEqual([
      "aborted",
      "changed: canary 50% of version 4",
      "resumed",
      "paused",
      "begun: canary 30% of version 4",
    ]);
  });

  it("begin paused where it is asked for", async () => {
    const { out } = await cli(`rollout set ${NAME} --arm canary=4:30% --paused`);
    expect(out).toContain("production: paused");
    expect(await answer("user-1")).toBe("four");
  });

  it("answer programs", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    expect(await json(`rollout pause ${NAME}`)).toMatchObject({
      rollout: { state: "STATE_PAUSED" },
    });
    expect(await json(`rollout abort ${NAME}`)).toMatchObject({
      rollout: { state: "STATE_ABORTED" },
    });
  });
});

describe("rollout promote", () => {
  it("moves the label to the only arm, and can be undone", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    const promoted = await cli(`rollout promote ${NAME}`);
    expect(promoted).toEqual({
      code: 0,
      err: "",
      out: [
        "promoted canary: production 3 -> 4",
        "to undo it: promptd label undo support/triage --revision 8",
        "support/triage is at revision 8",
        "",
      ].join("\n"),
    });
    expect(await answer("user-42")).toBe("four");
    expect((await cli(`rollout show ${NAME}`)).out).toContain(
      "production: promoted canary; everybody gets production\n",
    );
    expect((await cli(`changes ${NAME} --limit 1`)).out).toContain(
      "production 3 -> 4; rollout production promoted to canary ",
    );
    const undo = promoted.out.match(/promptd (label undo .*)/)?.[1] ?? "";
    expect((await cli(undo)).out).toContain("production 4 -> 3\n");
    expect(await answer("user-42")).toBe("three");
  });

  it("asks which of several arms", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30% --arm long=label:production:1%`);
    const { code, err } = await cli(`rollout promote ${NAME}`);
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("canary, long") });
    expect((await cli(`rollout promote ${NAME} long`)).out).toMatch(
      /^promoted long: production is at 3 already\nsupport\/triage is at revision \d+\n$/,
    );
  });

  it("answers programs with what undoes it", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    expect(await json(`rollout promote ${NAME} canary`)).toMatchObject({
      rollout: { state: "STATE_PROMOTED", promotedArm: "canary" },
      previous: [{ label: "production", version: 3 }],
    });
  });
});

describe("rollout delete", () => {
  it("deletes what has ended only", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    expect(await cli(`rollout delete ${NAME}`)).toMatchObject({ code: 1, out: "" });
    await cli(`rollout abort ${NAME}`);
    expect((await cli(`rollout delete ${NAME}`)).out).toBe(
      "rollout of support/triage at production is deleted\nsupport/triage is at revision 9\n",
    );
    expect((await cli(`rollout show ${NAME}`)).code).toBe(3);
    expect((await cli(`changes ${NAME} --limit 1`)).out).toContain("rollout production deleted");
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    await cli(`rollout abort ${NAME}`);
    expect(await json(`rollout delete ${NAME}`)).toEqual({ revision: "12" });
  });
});

describe("label set at a label with a rollout", () => {
  it("aborts it, also where the label is there already, and says so", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    expect((await cli(`label set ${NAME} production=3`)).out).toBe(
      "production is there already\nrollout of production aborted\nsupport/triage is at revision 8\n",
    );
    expect(await answer("user-1")).toBe("three");
    expect((await cli(`changes ${NAME} --limit 1`)).out).toContain("rollout production aborted");
  });

  it("leaves it with --keep-rollout", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    expect((await cli(`label set ${NAME} production=2 --keep-rollout`)).out).toBe(
      "production 3 -> 2\nsupport/triage is at revision 8\n",
    );
    expect([await answer("user-1"), await answer("user-42")]).toEqual(["four", "two"]);
  });

  it("tells so of a version that takes the label", async () => {
    await cli(`rollout set ${NAME} --arm canary=4:30%`);
    const created = await cli(`create ${NAME} - --label production`, { stdin: "six" });
    expect(created.out).toBe("support/triage version 6 created\nrollout of production aborted\n");
  });
});

describe("a rollout and keys", () => {
  it("is previewed by who may read, set by who may release, and refused where approval is needed", async () => {
    const person = async (...scopes: string[]) => {
      const asked = scopes.flatMap((scope) => ["--scope", scope]);
      const made = await promptd(["keys", "create", "k", ...asked, "--data-dir", service.dataDir]);
      return (line: string) => cli(line, { env: { PROMPTD_API_KEY: made.out.trim() } });
    };
    const owner = await person("read", "release", "admin");
    const reader = await person("read", "write");
    const canary = `${NAME} --arm canary=4:30%`;
    expect((await cli(`rollout preview ${canary}`)).code).toBe(6);
    expect((await reader(`rollout preview ${canary}`)).code).toBe(0);
    expect((await reader(`rollout set ${canary}`)).code).toBe(6);
    expect((await owner(`rollout set ${canary}`)).code).toBe(0);
    expect((await reader(`rollout abort ${NAME}`)).code).toBe(6);

    await owner("policy set production --approval");
    for (const line of [`set ${NAME} --weight 50%`, `pause ${NAME}`, `promote ${NAME}`]) {
      const { code, err } = await owner(`rollout ${line}`);
      expect({ line, code, err }).toEqual({
        line,
        code: 1,
        err: expect.stringContaining("approval"),
      });
    }
    expect((await owner(`rollout abort ${NAME}`)).code).toBe(0);
  });
});
