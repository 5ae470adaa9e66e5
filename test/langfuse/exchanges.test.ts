import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBehind } from "./behind.ts";
import { basic, type LangfuseService, startWithKeys } from "./service.ts";

/**
 * What a Langfuse 4.16.0 was asked, in this order, and what it answered. `$N` is
 * one fresh name; `<id>`, `<uuid>`, `<time>` and `<project>` stand for what varies.
 */
interface Exchange {
  /** Method and path behind /api/public. */
  send: string;
  /** Credentials that are not the right ones. */
  auth?: "wrong-secret" | "unknown-key" | "none" | "bearer-public" | "garbage";
  json?: unknown;
  /** A body that is no JSON. */
  text?: string;
  status: number;
  answer?: unknown;
}

const EXCHANGES: Exchange[] = JSON.parse(
  readFileSync(new URL("exchanges.json", import.meta.url), "utf8").replaceAll("$N", "chat-7f3a"),
);

function authorization(auth: Exchange["auth"], { admin }: LangfuseService): Record<string, string> {
  switch (auth) {
    case undefined:
      return { authorization: basic(admin) };
    case "wrong-secret":
      return { authorization: basic({ ...admin, secretKey: "promptd_wrong" }) };
    case "unknown-key":
      return { authorization: basic({ publicKey: "pk-lf-x", secretKey: "sk-lf-y" }) };
    case "none":
      return {};
    case "bearer-public":
      return { authorization: `Bearer ${admin.publicKey}` };
    case "garbage":
      return { authorization: "garbage" };
  }
}

const VARYING: Record<string, RegExp> = {
  "<id>": /^[0-9a-f-]{36}$/,
  "<time>": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
  "<project>": /^default$/,
};

/** The expected answer with what varies taken from the answer, where it has the right form. */
function filled(expected: unknown, answer: unknown): unknown {
  if (typeof expected === "string" && typeof answer === "string") {
    return VARYING[expected]?.test(answer) ? answer : expected;
  }
  if (typeof expected !== "object" || expected === null) return expected;
  if (typeof answer !== "object" || answer === null) return expected;
  const found = answer as Record<string, unknown>;
  // The one in zod's complaint about a time, which each release writes differently.
  if ("pattern" in expected && "pattern" in answer) expected.pattern = answer.pattern;
  if (Array.isArray(expected)) return expected.map((item, index) => filled(item, found[index]));
  const [id] = Object.keys(found);
  const entries = Object.entries(expected).map(([key, value]) => {
    const name = key === "<uuid>" && VARYING["<id>"]?.test(id ?? "") ? (id ?? key) : key;
    return [name, filled(value, found[name])];
  });
  return Object.fromEntries(entries);
}

it("has all exchanges", () => expect(EXCHANGES).toHaveLength(71));

describe.each([
  ["a promptd", startWithKeys],
  ["a promptd in front of another one", startBehind],
])("Langfuse's API on %s answers as Langfuse to", (_, start) => {
  let service: LangfuseService;

  beforeAll(async () => {
    service = await start();
  });

  afterAll(() => service.close());

  it.each(EXCHANGES.map((exchange, index) => ({ index, ...exchange })))(
    "$index: $send",
    async ({ send, auth, json, text, status, answer }) => {
      const [method = "", path = ""] = send.split(" ", 2);
      const rest = send.slice(method.length + 1 + path.length);
      const body = json === undefined ? text : JSON.stringify(json);
      const response = await fetch(`${service.baseUrl}/api/public${path}${rest}`, {
        method,
        headers: { "content-type": "application/json", ...authorization(auth, service) },
        ...(body !== undefined && { body }),
      });
      const answered = await response.text();
      expect(response.status).toBe(status);
      if (answer === undefined) expect(answered).toBe("");
      else if (typeof answer === "string") expect(answered).toBe(answer);
      else {
        const found = JSON.parse(answered);
        expect(found).toEqual(filled(answer, found));
      }
    },
  );
});
