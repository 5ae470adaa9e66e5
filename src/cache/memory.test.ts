import { beforeEach, describe, expect, it } from "vitest";
import type { KeptPrompt, PromptKey } from "../core/cache-ports.ts";
import type { Selector } from "../core/prompt.ts";
import { Memory } from "./memory.ts";

let memory: Memory;

beforeEach(() => {
  memory = new Memory(100 * 1024);
});

const key = (name: string, selector: Selector = { label: "production" }): PromptKey => ({
  project: "default",
  name,
  selector,
});

function prompt(asOf = 0, template = "text"): KeptPrompt {
  return {
    version: {
      name: "p",
      type: "text",
      version: 1,
      contentHash: "",
      revision: 1,
      updatedAt: new Date(0),
      body: { type: "text", format: "mustache", config: {}, template },
      labels: [],
      tags: [],
      commitMessage: "",
      author: "",
      createdAt: new Date(0),
    },
    asOf,
    readAt: 0,
    refreshAt: 0,
    stale: false,
    tier: "memory",
  };
}

describe("Memory", () => {
  it("keeps prompts apart by project, name and selector", () => {
    const kept = prompt();
    expect(memory.put(key("p"), kept)).toBe(true);
    expect(memory.get(key("p"))).toBe(kept);
    expect(memory.get(key("q"))).toBeUndefined();
    expect(memory.get({ ...key("p"), project: "other" })).toBeUndefined();
    memory.put(key("p", { label: "3" }), kept);
    expect(memory.get(key("p", { version: 3 }))).toBeUndefined();
    memory.remove(key("p"));
    expect(memory.get(key("p"))).toBeUndefined();
    expect(memory.get(key("p", { label: "3" }))).toBe(kept);
  });

  it("forgets what was read before a change of the prompt, and keeps nothing of that kind after it", () => {
    memory.put(key("p"), prompt(4));
    memory.put(key("p", { version: 1 }), prompt(4));
    memory.put(key("q"), prompt(4));
    memory.forget("default", "p", 5);
    expect(memory.get(key("p"))).toBeUndefined();
    expect(memory.get(key("p", { version: 1 }))).toBeUndefined();
    expect(memory.get(key("q"))).toBeDefined();
    expect(memory.put(key("p"), prompt(4))).toBe(false);
    expect(memory.get(key("p"))).toBeUndefined();
    expect(memory.put(key("p"), prompt(5))).toBe(true);
    memory.forget("default", "p", 5);
    expect(memory.get(key("p"))).toBeDefined();
  });

  it("remembers changes of more prompts than it can tell apart", () => {
    for (let i = 0; i <= 10_000; i++) memory.forget("default", `p${i}`, 100 + i);
    // The change of p0 is forgotten, so whatever is older than it is not trusted.
    expect(memory.put(key("p0"), prompt(99))).toBe(false);
    expect(memory.put(key("unheard of"), prompt(99))).toBe(false);
    expect(memory.put(key("p0"), prompt(100))).toBe(true);
    expect(memory.put(key("p9"), prompt(108))).toBe(false);
  });

  it("drops the least recently used where it is full, and keeps none that is larger than all of it", () => {
    const large = "x".repeat(10 * 1024);
    memory.put(key("a"), prompt(0, large));
    memory.put(key("b"), prompt(0, large));
    memory.get(key("a"));
    memory.put(key("c"), prompt(0, large));
    expect(["a", "b", "c"].map((name) => memory.get(key(name)) !== undefined)).toEqual([
      true,
      false,
      true,
    ]);
    expect(memory.put(key("huge"), prompt(0, "x".repeat(30 * 1024)))).toBe(true);
    expect(memory.get(key("huge"))).toBeUndefined();
    // What was dropped can still be forgotten.
    memory.forget("default", "b", 1);
  });

  it("counts what is kept beside a prompt", () => {
    const [a, b] = [prompt(), prompt()];
    memory.put(key("a"), a);
    memory.put(key("b"), b);
    memory.weigh(key("a"), a, 50 * 1024);
    memory.weigh(key("b"), prompt(), 1024 * 1024);
    expect(memory.get(key("b"))).toBe(b);
    memory.weigh(key("b"), b, 60 * 1024);
    expect(memory.get(key("a"))).toBeUndefined();
    expect(memory.get(key("b"))).toBe(b);
  });

  it("forgets everything where all may be wrong", () => {
    memory.put(key("p"), prompt(7));
    memory.forget("default", "q", 9);
    memory.clear();
    expect(memory.get(key("p"))).toBeUndefined();
    expect(memory.put(key("q"), prompt(1))).toBe(true);
  });
});
