import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chat, message } from "../../test/support/bodies.ts";
import { body, content, json } from "../../test/support/prompt-texts.ts";
import { canonicalBody } from "../core/content-hash.ts";
import { PromptdError } from "../core/errors.ts";
import type { JsonValue, PromptBody } from "../core/prompt.ts";
import type { FileContent } from "./header.ts";
import { FORMATS, readPromptFile } from "./prompt-file.ts";
import { newPromptFile, rewritePromptFile } from "./rewrite.ts";

const text = (template: string, config: JsonValue = {}): PromptBody => ({
  type: "text",
  format: "mustache",
  template,
  config,
});

/** What becomes of a file, as text; its ending where that changes. */
function rewritten(path: string, old: string, body: PromptBody, tags: string[] = []): string {
  const file = { path, bytes: Buffer.from(old) };
  const now = rewritePromptFile(file, { body, tags });
  const said = Buffer.from(now.bytes).toString();
  return now.path === path ? said : `${now.path}: ${said}`;
}

const MODEL = `---
# Who answers customers.
type: chat

# Legal asked for a low one.
config:
  temperature: 0.3 # was 0.7
  stop: [ "END" ]   # as trained
  # there may be more
tags:
- support # the team
labels: [production,  staging]   # both
variables: [company,  question] # and no others
# What it must say.
tests:
    - {name:  'Ada'}
---
{{ role "system" }}
Be kind.

{{placeholder "history"}}

{{role "user"}}
{{question}}`;

const model = (config: JsonValue, last = "{{question}}"): PromptBody => ({
  ...chat(
    message("system", "Be kind.\n"),
    { type: "placeholder", name: "history" },
    message("user", last),
  ),
  config,
});
const CONFIG = { temperature: 0.3, stop: ["END"] };

describe("rewritePromptFile", () => {
  it("keeps the bytes of a file that says the same", () => {
    for (const mark of ["", "\ufeff"]) {
      const file = { path: "a.prompt", bytes: Buffer.from(mark + MODEL) };
      expect(rewritePromptFile(file, { body: model(CONFIG), tags: ["support"] })).toBe(file);
    }
  });

  it("changes the message that changed", () => {
    const now = rewritten("a.prompt", MODEL, model(CONFIG, "{{ask}}"), ["support"]);
    expect(now).toBe(MODEL.replace("{{question}}", "{{ask}}\n"));
  });

  it("keeps comments and layout around what changed beside the template", () => {
    const config = { temperature: 0.5, stop: ["END", "STOP"], top_p: 1 };
    const now = rewritten("a.prompt", MODEL, model(config), ["new", "support"]);
    expect(now).toBe(
      MODEL.replace(
        /config:[\s\S]*# there/,
        `config:
  temperature: 0.5 # was 0.7
  stop: [ "END", STOP ] # as trained
  top_p: 1
  # there`,
      ).replace("- support", "- new\n- support"),
    );
  });

  it.each([
    ["config:\n    a:\n        b: 1\n", "config:\n    a:\n        b: 2\n"],
    ["config: {a: {b: '1', c: 0x1}} # why\n", "config: {a: {b: 2}} # why\n"],
    ["config: &x\n  # of a\n  a: {b: 1}\n", "config:\n  # of a\n  &x\n  a: {b: 2}\n"],
    ["config: ~\n", "config:\n  a:\n    b: 2\n"],
    ["config:\ntests: []\n", "config:\n  a:\n    b: 2\ntests: []\n"],
  ])("writes a config in the manner of %j", (yaml, now) => {
    const old = `---\n${yaml}---\nHi`;
    const config = { a: { b: 2 } };
    expect(rewritten("a.prompt", old, text("Hi", config))).toBe(`---\n${now}---\nHi`);
  });

  it("writes anew what it cannot edit", () => {
    const old = "---\n# gone\n{config: &x {a: 1}, tests: [*x]}\n---\nHi";
    expect(rewritten("a.prompt", old, text("Hi", [1]))).toBe(
      "---\ntype: text\nconfig:\n  - 1\ntests:\n  - a: 1\n---\nHi",
    );
  });

  it("takes keys out, and puts new ones at the end", () => {
    const old = "---\ntags: [a] # none\n# fstring, as ever\nformat: fstring\n# end\n---\nHi";
    expect(rewritten("a.prompt", old, text("Hi", { a: 1 }))).toBe(
      "---\n# fstring, as ever\n# end\nconfig:\n  a: 1\n---\nHi",
    );
  });

  it("writes line breaks as they are there", () => {
    const config = { temperature: 1, stop: ["END"] };
    const now = rewritten(
      "a.prompt",
      `\ufeff${MODEL.replaceAll("\n", "\r\n")}`,
      { ...model(config, "a\nb"), format: "fstring" },
      ["support"],
    );
    expect(now.startsWith("\ufeff---\r\n")).toBe(true);
    expect(now).toContain("temperature: 1 # was 0.7\r\n");
    expect(now).toContain("format: fstring\r\n---\r\n");
    expect(now).toContain('{{role "user"}}\r\na\nb\r\n');
  });

  it.each([
    ["a.md", "one\r\n", text("two"), [], "two"],
    ["a.txt", "one", text("---\n"), [], "---\n"],
    ["a.prompt", "one", text("two"), [], "two"],
    ["a.prompt", "one", text("---\ntwo"), [], "---\ntype: text\n---\n---\ntwo"],
    ["a.txt", "one", text("one"), ["x"], "a.prompt: ---\ntype: text\ntags:\n  - x\n---\none"],
    ["a.md", "one", chat(message("a", "")), [], 'a.prompt: ---\ntype: chat\n---\n{{role "a"}}\n\n'],
    [
      "a.prompt",
      '---\ntype: chat\n---\n{{role "a"}}',
      chat(message("a", '{{role "b"}}')),
      [],
      expect.stringMatching(/^a\.json: \{\n {2}"type": "chat"/),
    ],
    ["a.prompt", "---\nbroken: [", text("one", 1), [], "---\ntype: text\nconfig: 1\n---\none"],
    ["a.md", Buffer.from([0xff]).toString("latin1"), text("one"), [], "one"],
  ])("keeps the ending of %s while it can: %j", (path, old, body, tags, now) => {
    expect(rewritten(path, old, body, tags)).toEqual(now);
  });

  it.each([
    [
      '[\n\t{"role": "a", "content": "one"}\n]',
      chat(message("a", "two")),
      '[\n\t{\n\t\t"role": "a",\n\t\t"content": "two"\n\t}\n]',
    ],
    [
      '\ufeff{\r\n    "tests": [1],\r\n    "template": "one",\r\n    "labels": []\r\n}\r\n\r\n',
      text("two", { b: 1 }),
      '\ufeff{\r\n    "tests": [\r\n        1\r\n    ],\r\n    "template": "two",\r\n    "labels": [],\r\n    "config": {\r\n        "b": 1\r\n    }\r\n}\r\n\r\n',
    ],
    [
      '{"config":{"a":1},"template":[{"role":"a","content":"","type":"chatmessage"}]}\n',
      chat({ type: "placeholder", name: "h" }),
      '{"template":[{"type":"placeholder","name":"h"}]}\n',
    ],
    ['["not a prompt"]', text("one"), '{\n  "type": "text",\n  "template": "one"\n}\n'],
  ])("keeps the indentation of %j", (old, body, now) => {
    expect(rewritten("a.json", old, body)).toBe(now);
  });
});

const shared = fc.record({
  body,
  tags: fc.oneof(fc.constant([]), fc.uniqueArray(content, { maxLength: 3 })),
});

/** What stands in a file and in no version. */
const orders = fc.record(
  {
    labels: fc.uniqueArray(fc.constantFrom("production", "staging", "1.0"), { maxLength: 2 }),
    tags: fc.array(content, { maxLength: 2 }),
    commitMessage: content,
    tests: fc
      .array(json, { maxLength: 2 })
      .filter((tests) => !JSON.stringify(tests).includes('"__proto__"')),
  },
  { requiredKeys: [] },
);

/** As other editors and other people would have saved it. */
const spelled = fc.constantFrom<(text: string) => string>(
  (text) => text,
  (text) => text.replaceAll("\n", "\r\n"),
  (text) => `\ufeff${text}`,
  (text) => text.trimEnd(),
  (text) => text.replace("---\n", "---\n# first\n").replace("\n---\n", "\n# last\n---\n"),
  (text) => text.replaceAll(/^([a-z_]+:.*)$/gm, "# of the next\n$1 # of this"),
  (text) => text.replaceAll(/^ {2}( *)/gm, "\t$1$1"),
  (text) => text.replaceAll(/\n +/g, ""),
);

const file = fc
  .record({ ending: fc.constantFrom(...FORMATS.keys()), body, orders, spelled })
  .map(({ ending, body, orders, spelled }) => {
    const written = FORMATS.get(ending)?.write({ body, ...orders }) ?? "";
    return { path: `a/b${ending}`, bytes: Buffer.from(spelled(written)) };
  });

function readIfSound(file: { path: string; bytes: Uint8Array }): FileContent | undefined {
  try {
    return readPromptFile(file.path, file.bytes);
  } catch (thrown) {
    if (thrown instanceof PromptdError) return undefined;
    throw thrown;
  }
}

it("writes any prompt into any file, so that it reads back and then stays", () => {
  fc.assert(
    fc.property(file, shared, (file, prompt) => {
      const old = readIfSound(file);
      if (old !== undefined) {
        const same = rewritePromptFile(file, { body: old.body, tags: old.tags ?? [] });
        expect(same).toBe(file);
      }
      const now = rewritePromptFile(file, prompt);
      const read = readPromptFile(now.path, now.bytes);
      expect(read.name).toBe("a/b");
      expect(canonicalBody(read.body)).toBe(canonicalBody(prompt.body));
      expect([...(read.tags ?? [])].sort()).toEqual([...prompt.tags].sort());
      const { labels, commitMessage, tests } = read;
      expect([labels, commitMessage, tests]).toEqual([old?.labels, old?.commitMessage, old?.tests]);
      expect(rewritePromptFile(now, prompt)).toBe(now);
    }),
    { numRuns: 1500 },
  );
});

it("writes any prompt into a new file, without orders", () => {
  fc.assert(
    fc.property(shared, (prompt) => {
      const file = newPromptFile("a/b", prompt);
      const { labels, commitMessage, tests } = readPromptFile(file.path, file.bytes);
      expect([labels, commitMessage, tests]).toEqual([undefined, undefined, undefined]);
      expect(rewritePromptFile(file, prompt)).toBe(file);
    }),
  );
});

it("keeps every comment of front matter", () => {
  const commented = fc.record({ body, orders, config: json }).map(({ body, orders }) => {
    const written = FORMATS.get(".prompt")?.write({ body, ...orders }) ?? "";
    const end = written.indexOf("\n---\n", 3);
    const comments: string[] = [];
    const yaml = written.slice(0, end).replaceAll(/^[a-z_]+:/gm, (key) => {
      comments.push(`# comment ${comments.length}`);
      return `${comments.at(-1)}\n${key}`;
    });
    return { bytes: Buffer.from(yaml + written.slice(end)), comments };
  });
  fc.assert(
    fc.property(commented, shared, ({ bytes, comments }, prompt) => {
      const file = { path: "a.prompt", bytes };
      fc.pre(readIfSound(file) !== undefined);
      // The YAML library passes over one before a key, so such a file is written anew.
      fc.pre(!bytes.includes("\ufeff"));
      const now = rewritePromptFile(file, prompt);
      if (now.path !== file.path) return;
      const lines = Buffer.from(now.bytes).toString().split("\n");
      expect(lines.filter((line) => comments.includes(line))).toEqual(comments);
    }),
    { numRuns: 500 },
  );
});
