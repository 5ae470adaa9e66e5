import { beforeEach, describe, expect, it } from "vitest";
import type { Key } from "./keys.ts";
import { KnownKeys } from "./known-keys.ts";
import type { ChangeListener, KeyLookup } from "./ports.ts";
import type { Change, ChangeKind } from "./prompt.ts";

let listener: ChangeListener;
let asked: string[];
let answer: () => Promise<{ key: Key; secretHash: string } | undefined>;
let keys: KnownKeys;

const FOUND = { key: { id: "k" } as Key, secretHash: "h" };

beforeEach(() => {
  asked = [];
  answer = async () => FOUND;
  const lookup: Partial<KeyLookup> = {
    anyKey: async () => (await answer()) !== undefined,
    hasProject: async () => (await answer()) !== undefined,
    findKey: (hash) => {
      asked.push(hash);
      return answer();
    },
  };
  keys = new KnownKeys(lookup as KeyLookup, {
    applied: 0,
    silent: false,
    subscribe: (given) => {
      listener = given;
      return () => {};
    },
    catchUp: async () => {},
  });
});

const change = (kind: ChangeKind) => listener.changed({ kind } as Change);

describe("KnownKeys", () => {
  it("remembers what is there, and asks again for what is not", async () => {
    expect(await keys.findKey("h")).toBe(FOUND);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBe(FOUND);
    expect(await keys.findKey("unknown")).toBeUndefined();
    expect(await keys.findKey("unknown")).toBeUndefined();
    expect(asked).toEqual(["h", "unknown", "unknown"]);
    expect(await keys.anyKey()).toBe(false);
    answer = async () => FOUND;
    expect(await keys.anyKey()).toBe(true);
  });

  it.each<[ChangeKind, boolean]>([
    ["key_revoked", true],
    ["key_rotated", true],
    ["key_created", true],
    ["labels_set", false],
  ])("after %s asks again: %s", async (kind, again) => {
    await keys.findKey("h");
    change(kind);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBe(again ? undefined : FOUND);
  });

  it("does not remember what was read before a key was revoked", async () => {
    let answerLate = (_: typeof FOUND) => {};
    answer = () =>
      new Promise((resolve) => {
        answerLate = resolve;
      });
    const reading = keys.findKey("h");
    change("key_revoked");
    answerLate(FOUND);
    expect(await reading).toBe(FOUND);
    answer = async () => undefined;
    expect(await keys.findKey("h")).toBeUndefined();
  });

  it("forgets all where the history is another one", async () => {
    await keys.hasProject("p");
    listener.lost();
    answer = async () => undefined;
    expect(await keys.hasProject("p")).toBe(false);
  });
});
