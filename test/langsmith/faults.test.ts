import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PromptdError } from "../../src/core/errors.ts";
import { NO_JOURNAL } from "../../src/core/source-journal.ts";
import { LangsmithApi } from "../../src/sources/langsmith/api.ts";
import { LangsmithSource } from "../../src/sources/langsmith/source.ts";
import { failure } from "../registry/fixtures.ts";
import { text } from "./behind.ts";

import { reply, type StandIn, startStandIn } from "./stand-in.ts";

const caller = { project: "default", actor: "tester" };

let standIn: StandIn;
let now: number;
let api: LangsmithApi;
let source: LangsmithSource;

beforeEach(async () => {
  standIn = await startStandIn();
  now = Date.now();
  const access = { endpoint: `${standIn.url}/`, apiKey: standIn.newWorkspace() };
  api = new LangsmithApi(access, { timeoutMs: 2000, now: () => now });
  source = new LangsmithSource(api, NO_JOURNAL);
  await create("p", "one");
  standIn.seen.length = 0;
});

afterEach(() => {
  api.close();
  standIn.close();
});

const create = (name: string, template: string) =>
  source.createVersion(caller, { name, body: text(template), labels: [], commitMessage: "" });

const load = () => source.load(caller, "p", { label: "latest" });

const answer = (with_: (response: ServerResponse) => unknown) => {
  standIn.before = async (_, response) => {
    await with_(response);
  };
};

const page = (status: number) => (response: ServerResponse) =>
  response.writeHead(status, { "content-type": "text/html" }).end("<html>");

describe("a read that fails", () => {
  it.each<[what: string, respond: (response: ServerResponse) => void, message: string]>([
    ["with 401", (r) => reply(r, 401, { detail: "Invalid token" }), "does not let promptd in"],
    ["with 403", (r) => reply(r, 403, { error: "Forbidden" }), "does not let promptd in"],
    ["with 500", (r) => reply(r, 500, { detail: "x" }), "has a fault (HTTP 500)"],
    ["with 503", page(503), "has a fault (HTTP 503)"],
    ["with a page that is not found", page(404), "answered what promptd cannot read"],
    ["with a page", page(200), "answered what promptd cannot read"],
    ["with nothing", (r) => r.end(), "answered what promptd cannot read"],
    ["with another JSON", (r) => reply(r, 200, {}), "answered what promptd cannot read"],
    ["with a cut connection", (r) => r.destroy(), "cannot be reached"],
  ])("%s says so, and is sent once", async (_, respond, message) => {
    answer(respond);
    const error = await failure(load());
    expect(error).toMatchObject({ code: "unavailable", message: `LangSmith ${message}` });
    expect(standIn.seen).toHaveLength(new Set(standIn.seen).size);
    standIn.before = () => {};
    expect(await load()).toMatchObject({ version: 1 });
  });

  it("with 429 is left alone for as long as it says", async () => {
    answer((response) => reply(response, 429, { detail: "slow" }, { "retry-after": "7" }));
    const first = await failure(api.sighting("p"));
    expect(first).toMatchObject({ code: "unavailable", retryAfterMs: 7000 });
    standIn.before = () => {};
    standIn.seen.length = 0;
    now += 6999;
    expect(await failure(load())).toMatchObject({ message: "LangSmith asks promptd to wait" });
    expect(standIn.seen).toEqual([]);
    now += 1;
    expect(await load()).toMatchObject({ version: 1 });
  });

  it("with 429 does not shorten what another one was told", async () => {
    const waits = ["60", "1"];
    answer((response) => reply(response, 429, {}, { "retry-after": waits.shift() ?? "0" }));
    await Promise.all([failure(api.sighting("p")), failure(api.sighting("q"))]);
    now += 59_999;
    expect(await failure(api.sighting("p"))).toMatchObject({ retryAfterMs: 1 });
  });

  it("with 429 takes a date too", async () => {
    const until = new Date(Math.ceil(now / 1000) * 1000 + 7000);
    answer((response) => reply(response, 429, {}, { "retry-after": until.toUTCString() }));
    const { retryAfterMs } = await failure(api.sighting("p"));
    expect(retryAfterMs).toBe(until.getTime() - now);
  });

  it("with an answer without end is given up", async () => {
    answer(async (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const piece = `"${"x".repeat(1024 * 1024)}"\n`;
      while (!response.destroyed) {
        if (!response.write(piece)) {
          await Promise.race([once(response, "drain"), once(response, "close")]);
        }
      }
    });
    const error = await failure(api.manifest("p", "0".repeat(64)));
    expect(error.message).toBe("LangSmith answered what promptd cannot read");
  });

  it("with no answer is given up", async () => {
    standIn.before = () => new Promise(() => {});
    const slow = new LangsmithApi({ endpoint: standIn.url, apiKey: "x" }, { timeoutMs: 50 });
    const error = await failure(slow.manifest("p", "0".repeat(64)));
    expect(error).toMatchObject({ message: "LangSmith did not answer in time" });
  });

  it("for a LangSmith that is closed is given up at once", async () => {
    standIn.before = () => new Promise(() => {});
    const waiting = failure(load());
    api.close();
    expect(await waiting).toMatchObject({ code: "unavailable" });
  });
});

describe("the API key", () => {
  const key = "lsv2_pt_secret";

  it("goes to no other place than LangSmith, also where that sends requests on", async () => {
    const other = await startStandIn();
    answer((response) => response.writeHead(307, { location: `${other.url}/settings` }).end());
    expect(await failure(api.reach(1000))).toMatchObject({
      message: "LangSmith cannot be reached",
    });
    expect(other.seen).toEqual([]);
    other.close();
    standIn.before = ({ path }, response) => {
      if (path === "/settings") response.writeHead(308, { location: "/settings/" }).end();
    };
    await api.reach(1000);
    answer((response) => response.writeHead(302, { location: "/again" }).end());
    expect(await failure(api.reach(1000))).toMatchObject({
      message: "LangSmith cannot be reached",
    });
  });

  it.each([
    ["key", { apiKey: `${key}\nx` }],
    ["address", { apiKey: "x", endpoint: `http://user:${key}@127.0.0.1:1` }],
  ])("is in no error, also where the %s cannot be sent", async (_, access) => {
    const broken = new LangsmithApi({ endpoint: standIn.url, ...access });
    for (const asked of [broken.reach(1000), broken.sighting("p"), broken.history("p")]) {
      const error = await failure(asked);
      expect(error).toMatchObject({ code: "unavailable" });
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(key);
    }
  });
});

it("does not take a commit that is gone for a prompt that is", async () => {
  standIn.before = ({ path }, response) => {
    if (/^\/commits\/-\/p\/[0-9a-f]{64}/.test(path)) reply(response, 404, { detail: "no" });
  };
  expect(await failure(load())).toMatchObject({ code: "unavailable" });
});

it("reads again where a label was put on a version that it has not heard of", async () => {
  let listed = 0;
  standIn.before = async ({ method, path }) => {
    if (method !== "GET" || !path.startsWith("/repos/-/p/tags") || listed++ > 0) return;
    // Until the commits were told, and one is made after.
    const { seen } = standIn;
    while (!seen.some((line) => line.startsWith("GET /commits/-/p/"))) await turn();
    await turn();
    const [commit] = (await api.history("p"))?.commits.slice(-1) ?? [];
    const { id } = await api.commit("p", {
      manifest: {},
      parent: commit?.commit_hash,
      description: "",
    });
    await api.putTag("p", "production", id, false);
  };
  const history = await api.history("p");
  expect(history?.commits).toHaveLength(2);
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a change that LangSmith does not take", () => {
  const refusedWith = async (status: number, body: object): Promise<PromptdError> => {
    standIn.before = ({ method }, response) => {
      if (method === "POST") reply(response, status, body);
    };
    return failure(create("p", "two"));
  };

  it("is refused in its words", async () => {
    const detail = [{ loc: ["body", "manifest"], msg: "field required" }];
    const error = await refusedWith(422, { detail });
    expect(error).toMatchObject({ code: "refused", message: "body.manifest: field required" });
    expect(await refusedWith(400, { error: "bad" })).toMatchObject({ message: "bad" });
  });

  it("is a conflict where it is one", async () => {
    const error = await refusedWith(409, { detail: "Nothing to commit" });
    expect(error).toMatchObject({ code: "conflict", message: "Nothing to commit" });
    expect(standIn.seen.filter((line) => line.startsWith("POST"))).toHaveLength(1);
  });

  it("is refused where the key may not, and promptd is let in", async () => {
    const error = await refusedWith(403, { detail: "No permission to write prompts" });
    expect(error).toMatchObject({ code: "refused", message: "No permission to write prompts" });
  });
});
