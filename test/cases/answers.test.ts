import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { completion, type Endpoint, send, startEndpoint } from "./endpoint.ts";
import { testedFolder } from "./folder.ts";

const folder = testedFolder();
let endpoint: Endpoint;

beforeEach(async () => {
  endpoint = await startEndpoint();
});

afterEach(() => endpoint.close());

const KEY = ["sk-", "test", "-0123456789"].join("");

const ask = (args: readonly string[] = [], env: Record<string, string> = {}) =>
  folder.test(["--answers", ...args], {
    OPENAI_BASE_URL: endpoint.url,
    OPENAI_API_KEY: KEY,
    ...env,
  });

/** A prompt with one case for each answer that is expected. */
const prompt = (config: string, ...matchers: string[]) => {
  const cases = matchers.map((matcher, index) => `  - name: c${index}\n    answer: [${matcher}]\n`);
  return `---\nconfig: ${config}\ntests:\n${cases.join("")}---\nSay hello.`;
};

/** Times aside. */
const settled = (out: string) =>
  out
    .replaceAll(`${folder.dir}/`, "")
    .replace(/\d+\.\d s/g, "0.0 s")
    .trimEnd()
    .split("\n");

const HELLO = '{contains: "Hello"}';

describe("an answer", () => {
  it("is asked for only when that is said", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
    const env = { OPENAI_BASE_URL: endpoint.url, OPENAI_API_KEY: KEY };
    const { code, out } = await folder.test([], env);
    expect(code).toBe(0);
    expect(out).toContain("snapshots written 0, answers not asked for 1\n");
    expect(endpoint.seen).toEqual([]);
  });

  it("is matched, and what it took is told", async () => {
    await folder.put({
      "a.prompt": prompt("{model: small}", HELLO, '{contains: "Bye"}'),
      "b.prompt": prompt("{model: other}", HELLO),
      "promptd.yaml": "test:\n  prices:\n    small: {input: 2, output: 10}\n",
    });
    const { code, out } = await ask();
    expect(code).toBe(1);
    expect(settled(out)).toEqual([
      "a.prompt:4 c0: small answered, 1000 tokens in, 20 out, 0.0 s, $0.002200",
      "a.prompt:6 c1: small answered, 1000 tokens in, 20 out, 0.0 s, $0.002200",
      'a.prompt:7 c1: answer: expected "Bye" in the text, found "Hello"',
      "b.prompt:4 c0: other answered, 1000 tokens in, 20 out, 0.0 s, cost unknown",
      "files 2, cases 3, passed 2, failed 1, snapshots written 0",
      "answers 3, 3000 tokens in, 60 out, 0.0 s, cost unknown",
    ]);
    const json = JSON.parse((await ask(["a", "--json"])).out);
    expect(json.results[0].answer).toEqual({
      text: "Hello",
      model: "small",
      inputTokens: 1000,
      outputTokens: 20,
      cost: 0.0022,
      duration: expect.any(Number),
    });
  });

  it("is to the prompt and config as they stand, with the key", async () => {
    const config = {
      model: "small",
      temperature: 0,
      top_p: 0.5,
      max_tokens: 5,
      stop: ["."],
      seed: 7,
      reasoning_effort: "low",
      response_format: { type: "json_object" },
      tools: [{ type: "function", function: { name: "find" } }],
      tool_choice: "auto",
      ours: "not sent",
      stream: true,
    };
    const messages = [
      { role: "developer", content: "Be kind to {{name}}." },
      { role: "user", content: "" },
    ];
    const tests = [{ name: "a", variables: { name: "Ada" }, answer: [{ contains: "Hello" }] }];
    await folder.put({ "a.json": JSON.stringify({ template: messages, config, tests }) });
    expect(await ask()).toMatchObject({ code: 0 });
    const { ours: _, stream: __, ...sent } = config;
    expect(endpoint.seen).toEqual([
      {
        path: "/v1/chat/completions",
        authorization: `Bearer ${KEY}`,
        body: {
          ...sent,
          messages: [{ role: "developer", content: "Be kind to Ada." }, messages[1]],
        },
      },
    ]);
  });

  it("comes from the model of the option, the project or the config", async () => {
    await folder.put({ "a.prompt": prompt("{model: ofConfig}", HELLO) });
    await ask();
    await folder.put({ "promptd.yaml": "test: {model: ofProject}\n" });
    await ask();
    await ask(["--model", "ofOption"]);
    const models = endpoint.seen.map(({ body }) => body.model);
    expect(models).toEqual(["ofConfig", "ofProject", "ofOption"]);
    expect(endpoint.seen[0]?.body.messages).toEqual([{ role: "user", content: "Say hello." }]);
  });

  it("is not asked for without a model, and without what compiles", async () => {
    await folder.put({
      "a.prompt": prompt("{}", HELLO),
      "b.prompt": `${prompt("{model: small}", HELLO)}{{name}}`,
    });
    const { out } = await ask();
    expect(out).toContain("a.prompt:5 c0: answer: no model: expected --model, test.model in");
    expect(out).toContain("b.prompt:4 c0: does not compile: variables.name");
    expect(endpoint.seen).toEqual([]);
  });

  it("goes without a key to an endpoint that takes everybody", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
    expect(await ask([], { OPENAI_API_KEY: "" })).toMatchObject({ code: 0 });
    expect(endpoint.seen[0]?.authorization).toBeUndefined();
  });

  it("is asked for at as many at a time as is said", async () => {
    const matchers = Array.from({ length: 9 }, () => HELLO);
    await folder.put({ "a.prompt": prompt("{model: small}", ...matchers) });
    const waiting: ServerResponse[] = [];
    endpoint.answer = (response, count) => {
      waiting.push(response);
      // All that may be open are, or the rest is.
      if (waiting.length < 3 && count < 9) return;
      for (const each of waiting.splice(0)) send(each, 200, completion("Hello"));
    };
    expect(await ask(["--concurrency", "3"])).toMatchObject({ code: 0 });
    expect(endpoint.seen).toHaveLength(9);
    expect(endpoint.most).toBe(3);
  });

  it("is asked for again after 429 and 5xx, and no more than twice", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
    const soon = { "retry-after-ms": "1" };
    endpoint.answer = (response, count) => {
      if (count === 1) send(response, 429, { error: { message: "slow down" } }, soon);
      else if (count === 2) send(response, 503, "<html>", { ...soon, "content-type": "text/html" });
      else send(response, 200, completion("Hello"));
    };
    expect(await ask()).toMatchObject({ code: 0 });
    expect(endpoint.seen).toHaveLength(3);

    endpoint.answer = (response) => send(response, 500, { error: { message: "oops" } }, soon);
    const { code, out } = await ask();
    expect(code).toBe(1);
    expect(out).toContain("answer: no answer: the endpoint said 500: oops (tried 3 times)\n");
    expect(endpoint.seen).toHaveLength(6);
  });

  it("is asked for again where the connection broke", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
    endpoint.answer = (response, count) => {
      if (count === 1) response.destroy();
      else send(response, 200, completion("Hello"));
    };
    expect(await ask()).toMatchObject({ code: 0 });
    expect(endpoint.seen).toHaveLength(2);
  });

  it("that calls a tool is matched as JSON of the calls", async () => {
    const calls = '{json_path: "$[0].arguments.city", equals: Oslo}';
    await folder.put({ "a.prompt": prompt("{model: small}", calls) });
    const call = {
      id: "1",
      type: "function",
      function: { name: "f", arguments: '{"city":"Oslo"}' },
    };
    endpoint.answer = (response) => send(response, 200, completion(null, { tool_calls: [call] }));
    expect(await ask()).toMatchObject({ code: 0 });
  });

  it("without usage leaves tokens and cost unknown", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
    endpoint.answer = (response) => send(response, 200, completion("Hello", {}, null));
    expect((await ask()).out).toContain("answers 1, tokens unknown, ");
  });

  it.each<[string, (response: ServerResponse) => void, string]>([
    [
      "that is not JSON",
      (response) => send(response, 200, "Hello"),
      "no answer: the endpoint said 200: Invalid JSON response",
    ],
    [
      "that is other JSON",
      (response) => send(response, 200, { hello: [] }),
      "no answer: the endpoint said 200: Invalid JSON response",
    ],
    [
      "without choices",
      (response) => send(response, 200, { ...completion(""), choices: [] }),
      "no answer: Response did not contain any choices.",
    ],
    [
      "of 401 with the key in it",
      (response) => send(response, 401, { error: { message: `Incorrect key: ${KEY}` } }),
      "no answer: the endpoint said 401: Incorrect key: [key]",
    ],
    [
      "of 400 that is long, with the key where it would be cut",
      (response) => send(response, 400, { error: { message: `${"x".repeat(290)}${KEY}` } }),
      `no answer: the endpoint said 400: ${"x".repeat(290)}[key]`,
    ],
    [
      "that is huge",
      (response) => send(response, 200, completion("Hello".repeat(1024 * 1024))),
      "no answer: expected at most 4194304 bytes, and more came",
    ],
  ])("%s fails its case alone", async (_, answer, why) => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO, HELLO, HELLO) });
    endpoint.answer = (response, count) => {
      if (count === 1) answer(response);
      else send(response, 200, completion("Hello"));
    };
    const { code, out, err } = await ask(["--concurrency", "1"]);
    expect(code).toBe(1);
    expect(out).toContain(`answer: ${why}`);
    expect(out).toContain("passed 2, failed 1");
    expect(out + err).not.toContain(KEY.slice(0, 8));
  });

  it("that does not come in time fails its case alone", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", HELLO, HELLO) });
    endpoint.answer = (response, count) => {
      // The first begins, and never ends.
      if (count === 1) response.writeHead(200).write("{");
      else send(response, 200, completion("Hello"));
    };
    const { code, out } = await ask(["--timeout", "500ms", "--concurrency", "1"]);
    expect(code).toBe(1);
    expect(out).toContain("c0: answer: no answer: not within 0.5 s\n");
    expect(out).toContain("passed 1, failed 1");
    expect(endpoint.seen).toHaveLength(2);
  });

  it("that leads elsewhere is not followed", async () => {
    const elsewhere = await startEndpoint();
    try {
      await folder.put({ "a.prompt": prompt("{model: small}", HELLO) });
      for (const status of [301, 302, 307, 308]) {
        endpoint.answer = (response) => send(response, status, "", { location: elsewhere.url });
        const { code, out } = await ask();
        expect(code).toBe(1);
        expect(out).toContain(`answer: no answer: the endpoint said ${status}, and no redirect`);
      }
      expect(elsewhere.seen).toEqual([]);
      expect(endpoint.seen).toHaveLength(4);
    } finally {
      await elsewhere.close();
    }
  });

  it("that repeats the key does not show it", async () => {
    await folder.put({ "a.prompt": prompt("{model: small}", '{contains: "Bye"}') });
    endpoint.answer = (response) => send(response, 200, completion(`Your key is ${KEY}`));
    for (const form of [[], ["--json"], ["--github"]]) {
      const { out, err } = await ask(form);
      expect(out).toContain("Your key is [key]");
      expect(out + err).not.toContain(KEY);
    }
  });

  it("goes where the environment says alone", async () => {
    await folder.put({
      "a.prompt": prompt("{model: small, base_url: 'http://127.0.0.1:1'}", HELLO),
    });
    for (const url of ["", "nowhere", "file:///tmp", "http://user:pass@127.0.0.1:1/v1"]) {
      const { code, err } = await ask([], { OPENAI_BASE_URL: url });
      expect(code).toBe(2);
      expect(err).toContain("OPENAI_BASE_URL: expected a URL such as");
      expect(err).not.toContain("pass");
    }
    await folder.put({ "promptd.yaml": "test: {base_url: 'http://127.0.0.1:1'}\n" });
    const { code, err } = await ask();
    expect(code).toBe(1);
    expect(err).toContain('line 1: unknown key "base_url"');
    expect(endpoint.seen).toEqual([]);
  });
});
