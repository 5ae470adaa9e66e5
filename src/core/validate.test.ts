import { describe, expect, it } from "vitest";
import { PromptdError } from "./errors.ts";
import type { JsonValue, PromptBody } from "./prompt.ts";
import { LIMITS, Validator } from "./validate.ts";

/** The fields that a check complains of. */
function complaints(check: (validator: Validator) => void): string[] {
  const validator = new Validator();
  check(validator);
  try {
    validator.done();
    return [];
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(PromptdError);
    expect((thrown as PromptdError).code).toBe("invalid");
    return (thrown as PromptdError).violations.map(({ field }) => field);
  }
}

describe("names", () => {
  it.each([
    "a",
    "support/triage",
    "folder x/ü",
    "a.b-c_d",
    "NEW",
    "new/x",
    "a<b",
    "🙂",
    "n".repeat(LIMITS.nameBytes),
  ])("takes %j", (name) => {
    expect(complaints((v) => v.name(name))).toEqual([]);
  });

  it.each([
    "",
    "a|b",
    "/a",
    "a/",
    "a//b",
    "new",
    "metrics",
    "prompt-detail",
    ".",
    "..",
    "<b>x</b>",
    "a\nb",
    "a\u0000b",
    "a\u0085b",
    "<".repeat(500_000),
    "\ud800",
    "n".repeat(LIMITS.nameBytes + 1),
    "ü".repeat(LIMITS.nameBytes / 2 + 1),
  ])("refuses %j", (name) => {
    expect(complaints((v) => v.name(name))).toContain("name");
  });
});

describe("labels", () => {
  it.each(["a", "v1.4.0", "a_b-c.d", "3", "l".repeat(36)])("takes %j", (label) => {
    expect(complaints((v) => v.labels([label]))).toEqual([]);
  });

  it.each(["", "A", "a b", "ü", "l".repeat(37), "a\n"])("refuses %j", (label) => {
    expect(complaints((v) => v.labels([label]))).toEqual(["labels[0]"]);
  });

  it("keeps latest to itself, but lets callers ask for it", () => {
    expect(complaints((v) => v.moves(["latest"]))).toEqual(["moves[0].label"]);
    expect(complaints((v) => v.labels(["latest"]))).toEqual([]);
    expect(complaints((v) => v.label("latest", "label"))).toEqual([]);
  });

  it("takes each label once, and at most a hundred", () => {
    expect(complaints((v) => v.moves([]))).toEqual(["moves"]);
    expect(complaints((v) => v.labels(["a", "b", "a"]))).toEqual(["labels"]);
    const labels = Array.from({ length: 101 }, (_, index) => `l${index}`);
    expect(complaints((v) => v.labels(labels.slice(1)))).toEqual([]);
    expect(complaints((v) => v.labels(labels))).toEqual(["labels"]);
  });
});

describe("texts beside a prompt", () => {
  it("bounds user ids in bytes", () => {
    expect(complaints((v) => v.userId("ü".repeat(512)))).toEqual([]);
    expect(complaints((v) => v.userId(`${"ü".repeat(512)}x`))).toEqual(["user_id"]);
    expect(complaints((v) => v.userId("\udfff"))).toEqual(["user_id"]);
  });

  it("bounds messages in characters, whatever they take in memory", () => {
    expect(complaints((v) => v.message("🙂".repeat(500), "reason"))).toEqual([]);
    expect(complaints((v) => v.message("🙂".repeat(501), "reason"))).toEqual(["reason"]);
    expect(complaints((v) => v.message("x".repeat(1001), "reason"))).toEqual(["reason"]);
    expect(complaints((v) => v.message("a\nb\tc", "reason"))).toEqual([]);
    expect(complaints((v) => v.message("a\u0000b", "reason"))).toEqual(["reason"]);
  });

  it("bounds tags", () => {
    expect(complaints((v) => v.tags(["x".repeat(100), "any Text ü"]))).toEqual([]);
    expect(complaints((v) => v.tags(["", "x".repeat(101), "a\nb"]))).toEqual([
      "tags[0]",
      "tags[1]",
      "tags[2]",
    ]);
    expect(complaints((v) => v.tags(Array(50).fill("x")))).toEqual([]);
    expect(complaints((v) => v.tags(Array(51).fill("x")))).toEqual(["tags"]);
  });

  it("bounds versions and pages", () => {
    expect(complaints((v) => v.version(1, "version"))).toEqual([]);
    expect(complaints((v) => v.version(0, "version"))).toEqual(["version"]);
    const validator = new Validator();
    expect(validator.pageSize(0)).toBe(50);
    expect(validator.pageSize(200)).toBe(200);
    expect(complaints((v) => v.pageSize(201))).toEqual(["page_size"]);
  });
});

describe("bodies", () => {
  const text = (template: string, config: JsonValue = {}): PromptBody => ({
    type: "text",
    format: "mustache",
    template,
    config,
  });
  const chat = (count: number, content: string, role = "user"): PromptBody => ({
    type: "chat",
    format: "mustache",
    template: Array.from({ length: count }, () => ({
      type: "chatmessage" as const,
      role,
      content,
    })),
    config: {},
  });
  const nested = (levels: number): JsonValue =>
    Array.from({ length: levels }).reduce<JsonValue>((inner) => [inner], 1);

  it("takes templates up to 1 MiB", () => {
    expect(complaints((v) => v.body(text("x".repeat(LIMITS.templateBytes))))).toEqual([]);
    expect(complaints((v) => v.body(text("x".repeat(LIMITS.templateBytes + 1))))).toEqual(["text"]);
    expect(complaints((v) => v.body(text("\ud800")))).toEqual(["text"]);
    const half = LIMITS.templateBytes / 2 - "user".length;
    expect(complaints((v) => v.body(chat(2, "x".repeat(half))))).toEqual([]);
    expect(complaints((v) => v.body(chat(2, "x".repeat(half + 1))))).toEqual(["chat"]);
  });

  it("takes 1 to 1000 chat items with roles of 1 to 64 bytes", () => {
    expect(complaints((v) => v.body(chat(1000, "")))).toEqual([]);
    expect(complaints((v) => v.body(chat(1001, "")))).toEqual(["chat.items"]);
    expect(complaints((v) => v.body(chat(0, "")))).toEqual(["chat.items"]);
    expect(complaints((v) => v.body(chat(1, "", "r".repeat(64))))).toEqual([]);
    expect(complaints((v) => v.body(chat(1, "", "r".repeat(65))))).toEqual([
      "chat.items[0].message.role",
    ]);
    expect(complaints((v) => v.body(chat(1, "\ud800", "")))).toEqual([
      "chat.items[0].message.role",
      "chat.items[0].message.content",
    ]);
  });

  it("takes config of 256 KiB and 32 levels", () => {
    const fits = "x".repeat(LIMITS.configBytes - 2);
    expect(complaints((v) => v.body(text("", fits)))).toEqual([]);
    expect(complaints((v) => v.body(text("", `${fits}x`)))).toEqual(["config"]);
    expect(complaints((v) => v.body(text("", nested(32))))).toEqual([]);
    expect(complaints((v) => v.body(text("", nested(33))))).toEqual(["config"]);
    expect(complaints((v) => v.body(text("", nested(50_000))))).toEqual(["config"]);
    for (const wrong of [Number.NaN, Infinity, "\ud800", { "\ud800": 1 }]) {
      expect(complaints((v) => v.body(text("", wrong)))).toEqual(["config"]);
    }
  });

  it("bounds what is put in for placeholders", () => {
    const messages = Array.from({ length: 10_001 }, () => ({ role: "user", content: "" }));
    expect(complaints((v) => v.placeholderMessages(messages.slice(1), "p"))).toEqual([]);
    expect(complaints((v) => v.placeholderMessages(messages, "p"))).toEqual(["p"]);
    expect(complaints((v) => v.placeholderMessages([{ role: "", content: "" }], "p"))).toEqual([
      "p.messages[0].role",
    ]);
  });
});

it("lets a key end while its end can be told in JSON: one that could not broke every list", () => {
  const key = { id: "", name: "k", scopes: ["read" as const], promptPatterns: [], secretHash: "" };
  const until = (time: string | number) =>
    complaints((v) => v.key({ ...key, expiresAt: new Date(time) }, 0));
  expect(until("9999-12-31T23:59:59.999Z")).toEqual([]);
  for (const time of ["+010000-01-01T00:00:00Z", 8.64e15, Number.NaN]) {
    expect(until(time)).toEqual(["expire_time"]);
  }
});

it("lets a folder have the name that no prompt may have", () => {
  expect(complaints((v) => v.folder("new"))).toEqual([]);
  for (const folder of ["", "a/", "a|b", "x".repeat(513)]) {
    expect(complaints((v) => v.folder(folder))).toContain("folder");
  }
});

it("does not look closer at what is too many, nor keep more than anybody reads", () => {
  const many = Array(300_000).fill("");
  expect(complaints((v) => v.labels(many))).toEqual(["labels"]);
  expect(complaints((v) => v.moves(many))).toEqual(["moves"]);
  expect(complaints((v) => v.tags(many))).toEqual(["tags"]);
  const noted = complaints((v) => {
    for (const field of many) v.require(false, field, "wrong");
  });
  expect(noted).toHaveLength(100);
});

it("names everything that is wrong at once", () => {
  expect(
    complaints((v) => {
      v.name("");
      v.userId("x".repeat(2000));
      v.require(false, "moves", "expected at least 1");
    }),
  ).toEqual(["name", "user_id", "moves"]);
});
