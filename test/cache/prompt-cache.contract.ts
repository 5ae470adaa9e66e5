import { describe, expect, it } from "vitest";
import type { PromptKey, SharedPrompt } from "../../src/core/cache-ports.ts";
import { canonicalBody, contentHash } from "../../src/core/content-hash.ts";
import type { PromptBody, PromptVersion } from "../../src/core/prompt.ts";

/** What a tier keeps of prompts, however it is asked. */
export interface PromptCache {
  get(key: PromptKey): Promise<SharedPrompt | undefined>;
  put(key: PromptKey, prompt: SharedPrompt): Promise<void>;
  remove(key: PromptKey): Promise<void>;
}

const KEY: PromptKey = { project: "default", name: "a/b", selector: { label: "production" } };

const BODIES: [string, PromptBody][] = [
  ["a text", text("Hello {{name}}, \u0000 \ud83d\ude00 ü\r\n")],
  ["an empty config", { ...text("x"), config: {} }],
  ["a config of null", { ...text("x"), config: null }],
  ["a config with everything", { ...text("x"), config: { a: [1.5, true, null, { b: "" }] } }],
  [
    "a chat with a placeholder",
    {
      ...{ type: "chat", format: "fstring", config: {} },
      template: [
        { type: "chatmessage", role: "system", content: "{x}" },
        { type: "placeholder", name: "history" },
      ],
    },
  ],
  ["a megabyte", text("é".repeat(500_000))],
];

function text(template: string): PromptBody {
  return { type: "text", format: "mustache", config: { model: "m" }, template };
}

function prompt(body: PromptBody, readAt = 1_000, { name, selector } = KEY): SharedPrompt {
  const number = "version" in selector ? selector.version : 7;
  const version: PromptVersion = {
    ...{ name, type: body.type, version: number, revision: 12, body },
    ...{ contentHash: contentHash(canonicalBody(body)), labels: ["production", "latest"] },
    ...{ tags: ["ü", "b"], commitMessage: "why\n", author: "a", updatedAt: new Date(5) },
    createdAt: new Date(4),
  };
  return { version, readAt };
}

/** What every tier that keeps prompts must do. */
export function promptCacheContract(what: string, open: () => Promise<PromptCache>): void {
  describe(`${what}, as a cache of prompts`, () => {
    it.each(BODIES)("gives back %s as it was put", async (_, body) => {
      const cache = await open();
      await cache.put(KEY, prompt(body));
      expect(await cache.get(KEY)).toEqual(prompt(body));
    });

    it("keeps the last that was put under a key", async () => {
      const cache = await open();
      await cache.put(KEY, prompt(text("one")));
      await cache.put(KEY, prompt(text("two"), 2_000));
      expect(await cache.get(KEY)).toEqual(prompt(text("two"), 2_000));
    });

    it("keeps projects, names and selectors apart, and label 3 from version 3", async () => {
      const cache = await open();
      const keys: PromptKey[] = [
        KEY,
        { ...KEY, project: "other" },
        { ...KEY, name: "b" },
        { ...KEY, selector: { label: "3" } },
        { ...KEY, selector: { version: 3 } },
        { ...KEY, selector: { label: "v3" } },
      ];
      const of = (key: PromptKey) => prompt(text(JSON.stringify(key)), 1_000, key);
      for (const key of keys) await cache.put(key, of(key));
      for (const key of keys) expect(await cache.get(key)).toEqual(of(key));
    });

    it("knows nothing of what was never put, or was removed", async () => {
      const cache = await open();
      const other: PromptKey = { ...KEY, selector: { version: 7 } };
      await cache.put(KEY, prompt(text("one")));
      await cache.put(other, prompt(text("one")));
      await cache.remove(KEY);
      expect(await cache.get(KEY)).toBeUndefined();
      expect(await cache.get(other)).toEqual(prompt(text("one")));
      expect(await cache.get({ ...KEY, name: "never" })).toBeUndefined();
    });
  });
}
