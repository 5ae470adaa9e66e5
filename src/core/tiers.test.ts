import { beforeEach, describe, expect, it } from "vitest";
import { Memory } from "../cache/memory.ts";
import type { CachedPrompt, ChangeFeed, ChangeListener, PromptKey } from "./cache-ports.ts";
import type { Change } from "./change.ts";
import { PromptdError } from "./errors.ts";
import type { PromptSource } from "./ports.ts";
import type { PromptVersion, Selector } from "./prompt.ts";
import { keyText } from "./prompt-key.ts";
import { Tiers } from "./tiers.ts";

const KEY: PromptKey = { project: "default", name: "p", selector: { label: "production" } };

let now: number;
let applied: number;
let silent: boolean;
let listener: ChangeListener;
let memory: Memory;
let tiers: Tiers;
/** What the source answers, and how often it was asked. */
let answer: (selector: Selector) => Promise<PromptVersion>;
let asked: number;
/** What an observer was told. */
let observed: string[];
/** What is kept on disk, by what asks for it. */
let lastKnown: Map<string, CachedPrompt>;

beforeEach(() => {
  now = 1_000_000;
  applied = 5;
  silent = false;
  asked = 0;
  observed = [];
  lastKnown = new Map();
  answer = async () => version("one");
  const feed: ChangeFeed = {
    get position() {
      return { revision: applied, hash: `hash ${applied}` };
    },
    get applied() {
      return applied;
    },
    get silent() {
      return silent;
    },
    subscribe(given) {
      listener = given;
      return () => {};
    },
    catchUp: async () => {},
  };
  const source: Pick<PromptSource, "load"> = {
    load: (_, __, selector) => {
      asked++;
      return answer(selector);
    },
  };
  memory = new Memory(1024 * 1024);
  tiers = new Tiers({
    memory,
    source: source as PromptSource,
    lastKnownGood: {
      get: (key) => lastKnown.get(keyText(key)),
      put: (key, prompt) => lastKnown.set(keyText(key), prompt),
      remove: (key) => lastKnown.delete(keyText(key)),
    },
    fallback: {
      find: (_, name) => (name === "filed" ? { ...version("file"), version: 0 } : undefined),
    },
    feed,
    freshMs: 1000,
    now: () => now,
    random: () => 0.5,
    observer: {
      missed: () => observed.push("missed"),
      read: (outcome) => observed.push(outcome),
      notRefreshed: () => observed.push("not refreshed"),
    },
  });
});

function version(template: string): PromptVersion {
  return {
    name: "p",
    type: "text",
    version: 1,
    contentHash: template,
    revision: 1,
    updatedAt: new Date(0),
    body: { type: "text", format: "mustache", config: {}, template },
    labels: ["production"],
    tags: [],
    commitMessage: "",
    author: "a",
    createdAt: new Date(0),
  };
}

/** A change of the prompt, as the feed tells it. */
function change(revision: number, name = "p"): void {
  applied = revision;
  listener.changed({ revision, project: "default", name } as Change);
}

const find = (key = KEY) => tiers.find(key, undefined);

const text = async () => {
  const { prompt, tier, stale } = await find();
  return [prompt.version.contentHash, tier, stale];
};

/** Lets what goes on behind answers get to its end. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("what is in memory", () => {
  it("answers without the source", async () => {
    expect(await text()).toEqual(["one", "source", false]);
    expect(await text()).toEqual(["one", "memory", false]);
    expect(asked).toBe(1);
    expect(tiers.peek({ ...KEY, selector: { version: 1 } })).toBeUndefined();
    expect(tiers.peek({ ...KEY, project: "other" })).toBeUndefined();
  });

  it("is asked for again after a change of this prompt, and of no other", async () => {
    await find();
    change(6, "q");
    expect(await text()).toEqual(["one", "memory", false]);
    answer = async () => version("two");
    change(7);
    expect(await text()).toEqual(["two", "source", false]);
  });

  it("is asked for again behind the answer once it is old", async () => {
    await find();
    answer = async () => version("two");
    now += 1000;
    expect(await text()).toEqual(["one", "memory", false]);
    await settled();
    expect(await text()).toEqual(["two", "memory", false]);
    expect(asked).toBe(2);
  });

  it("stays, and says that it is stale, where it cannot be asked for again", async () => {
    await find();
    answer = async () => {
      throw new PromptdError("unavailable", "down");
    };
    now += 1000;
    expect(await text()).toEqual(["one", "memory", false]);
    await settled();
    expect(await text()).toEqual(["one", "memory", true]);
    await settled();
    expect(asked).toBe(2);
    expect(observed).toEqual(["missed", "found", "failed", "not refreshed"]);
    now += 1000;
    answer = async () => version("two");
    expect(await text()).toEqual(["one", "memory", true]);
    await settled();
    expect(await text()).toEqual(["two", "memory", false]);
  });

  it("goes where the source says that it does not exist any more", async () => {
    await find();
    answer = async () => {
      throw new PromptdError("not_found", "gone");
    };
    now += 1000;
    await find();
    await settled();
    await expect(find()).rejects.toMatchObject({ code: "not_found" });
  });

  it("is stale while nobody hears of changes", async () => {
    await find();
    silent = true;
    expect(await text()).toEqual(["one", "memory", true]);
  });

  it("is forgotten where the history is another one", async () => {
    await find();
    listener.lost();
    answer = async () => version("restored");
    expect(await text()).toEqual(["restored", "source", false]);
  });
});

describe("the source", () => {
  it("is asked once for what many wait for", async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => find()));
    expect(new Set(all.map(({ prompt }) => prompt)).size).toBe(1);
    expect(asked).toBe(1);
  });

  it("is asked again where a change came in while it answered", async () => {
    let answerFirst = (_: PromptVersion) => {};
    answer = () =>
      new Promise((resolve) => {
        answerFirst = resolve;
      });
    const finding = text();
    await settled();
    change(6);
    answer = async () => version("two");
    answerFirst(version("one"));
    expect(await finding).toEqual(["two", "source", false]);
    expect(await text()).toEqual(["two", "memory", false]);
  });

  it("is asked again where it knew nothing of what a change has made meanwhile", async () => {
    let failFirst = (_: Error) => {};
    answer = () =>
      new Promise((_, reject) => {
        failFirst = reject;
      });
    const finding = text();
    await settled();
    change(6);
    answer = async () => version("made");
    failFirst(new PromptdError("not_found", "nothing there yet"));
    expect(await finding).toEqual(["made", "source", false]);
    expect(await text()).toEqual(["made", "memory", false]);
  });

  it("is asked again where the history was replaced while it answered", async () => {
    let answerFirst = (_: PromptVersion) => {};
    answer = () =>
      new Promise((resolve) => {
        answerFirst = resolve;
      });
    const finding = text();
    await settled();
    listener.lost();
    answer = async () => version("restored");
    answerFirst(version("replaced"));
    expect(await finding).toEqual(["restored", "source", false]);
    expect(await text()).toEqual(["restored", "memory", false]);
  });

  it("is not kept in memory while it is ahead of what was heard of", async () => {
    answer = async () => ({ ...version("one"), revision: 6 });
    expect(await text()).toEqual(["one", "source", false]);
    expect(await text()).toEqual(["one", "source", false]);
    applied = 6;
    await find();
    expect(await text()).toEqual(["one", "memory", false]);
  });

  it("is not asked again for some seconds for what does not exist, unless something changes", async () => {
    answer = async () => {
      throw new PromptdError("not_found", "nothing there");
    };
    await expect(find()).rejects.toMatchObject({ code: "not_found" });
    answer = async () => version("new");
    await expect(find()).rejects.toMatchObject({ code: "not_found" });
    expect(asked).toBe(1);
    change(6);
    expect(await text()).toEqual(["new", "source", false]);
  });

  it("tells who asks after a change nothing that was read before, however many came in", async () => {
    const answers: ((version: PromptVersion) => void)[] = [];
    answer = () => new Promise((resolve) => answers.push(resolve));
    const early = text();
    for (const revision of [6, 7, 8]) {
      await settled();
      change(revision);
      answers.at(-1)?.(version(`before ${revision}`));
    }
    const late = text();
    await settled();
    for (const resolve of answers) resolve(version("after 8"));
    await early;
    expect((await late)[0]).toBe("after 8");
  });

  it("goes on for the others when one gives up", async () => {
    let answerLate = (_: PromptVersion) => {};
    answer = () =>
      new Promise((resolve) => {
        answerLate = resolve;
      });
    const caller = new AbortController();
    const given = tiers.find(KEY, caller.signal);
    const kept = find();
    caller.abort(new PromptdError("deadline", "late"));
    await expect(given).rejects.toMatchObject({ code: "deadline" });
    answerLate(version("one"));
    expect((await kept).prompt.version.contentHash).toBe("one");
    expect(asked).toBe(1);
  });

  it("tells its faults to the caller who finds nothing in memory", async () => {
    answer = async () => {
      throw new PromptdError("unavailable", "down");
    };
    await expect(find()).rejects.toMatchObject({ code: "unavailable" });
    answer = async () => version("one");
    expect(await text()).toEqual(["one", "source", false]);
  });
});

describe("while the source cannot be reached", () => {
  const down = (code: "unavailable" | "deadline" = "unavailable") => {
    answer = async () => {
      throw new PromptdError(code, "down");
    };
  };

  /** What the source answered once, and memory has not any more. */
  async function known(template = "one"): Promise<void> {
    answer = async () => version(template);
    await find();
    memory.clear();
    asked = 0;
  }

  it.each(["unavailable", "deadline"] as const)(
    "what was last known answers, with its age: %s",
    async (code) => {
      await known();
      down(code);
      now += 5000;
      const found = await find();
      expect(found).toMatchObject({ tier: "fallback", stale: true });
      expect(found.prompt).toMatchObject({ readAt: now - 5000, version: { contentHash: "one" } });
      expect(await text()).toEqual(["one", "fallback", true]);
      await settled();
      expect(asked).toBe(1);
    },
  );

  it("is asked again after a moment, and answers then", async () => {
    await known();
    down();
    await find();
    now += 1000;
    expect(await text()).toEqual(["one", "fallback", true]);
    await settled();
    expect(await text()).toEqual(["one", "fallback", true]);
    answer = async () => version("two");
    now += 1000;
    await find();
    await settled();
    expect(await text()).toEqual(["two", "memory", false]);
    expect(asked).toBe(3);
  });

  it("what was last known answers who would wait long, and the read goes on behind", async () => {
    lastKnown.set(keyText(KEY), { version: version("known"), asOf: 1, readAt: 2 });
    let end = (_: PromptVersion) => {};
    answer = () =>
      new Promise((resolve) => {
        end = resolve;
      });
    const found = await Promise.all([tiers.find(KEY, undefined), tiers.find(KEY, undefined)]);
    for (const { prompt, tier, stale } of found) {
      expect([prompt.version.contentHash, tier, stale]).toEqual(["known", "fallback", true]);
    }
    end(version("one"));
    await expect.poll(() => tiers.peek(KEY)?.prompt.version.contentHash).toBe("one");
    expect(tiers.peek(KEY)).toMatchObject({ tier: "memory", stale: false });
    expect(asked).toBe(1);
  });

  it("what stands in for a read that a change has overtaken answers the next one too", async () => {
    await known();
    const fail: ((error: Error) => void)[] = [];
    answer = () => new Promise((_, reject) => fail.push(reject));
    const early = text();
    await settled();
    change(6);
    const late = text();
    await settled();
    for (const reject of fail) {
      reject(new PromptdError("unavailable", "down"));
      await settled();
    }
    expect(await early).toEqual(["one", "fallback", true]);
    expect(await late).toEqual(["one", "fallback", true]);
  });

  it("nothing stands in for what memory has", async () => {
    await find();
    const prompt = { version: version("older"), asOf: 0, readAt: 0 };
    lastKnown.set(keyText(KEY), prompt);
    down();
    now += 1000;
    await find();
    await settled();
    expect(await text()).toEqual(["one", "memory", true]);
  });

  it("a change that is heard of drops what stood in", async () => {
    await known();
    down();
    await find();
    answer = async () => version("two");
    change(6);
    now += 1000;
    expect(await text()).toEqual(["two", "source", false]);
  });

  it("a file answers for a label, and for no number", async () => {
    down();
    const filed = { ...KEY, name: "filed" };
    expect(await find(filed)).toMatchObject({
      tier: "fallback",
      stale: true,
      prompt: { version: { version: 0, contentHash: "file" } },
    });
    await expect(find({ ...filed, selector: { version: 1 } })).rejects.toMatchObject({
      code: "unavailable",
    });
  });

  it("what was last known goes before a file", async () => {
    const filed = { ...KEY, name: "filed" };
    await find(filed);
    memory.clear();
    down();
    expect((await find(filed)).prompt.version.contentHash).toBe("one");
  });
});

it.each(["invalid", "internal", "refused"] as const)(
  "nothing stands in where the source says %s",
  async (code) => {
    await find();
    memory.clear();
    answer = async () => {
      throw new PromptdError(code, "no");
    };
    await expect(find()).rejects.toMatchObject({ code });
    await expect(find({ ...KEY, name: "filed" })).rejects.toMatchObject({ code });
  },
);

it("what the source says does not exist is no longer known", async () => {
  await find();
  memory.clear();
  answer = async () => {
    throw new PromptdError("not_found", "gone");
  };
  await expect(find()).rejects.toMatchObject({ code: "not_found" });
  expect(lastKnown.size).toBe(0);
});
