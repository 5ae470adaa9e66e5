import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import type { ChainedChange, PromptKey, SharedPrompt } from "../../src/core/cache-ports.ts";
import { canonicalBody, contentHash, sha256 } from "../../src/core/content-hash.ts";
import type { PromptBody } from "../../src/core/prompt.ts";
import { describeOnRedis, openProcess } from "./redis.ts";

const KEY: PromptKey = { project: "default", name: "a/b:c", selector: { label: "production" } };

const NOWHERE = { revision: 0, hash: "" };

function prompt(template: string, readAt = 1000): SharedPrompt {
  const body: PromptBody = { type: "text", format: "mustache", config: { a: [1, "ü"] }, template };
  const version = {
    ...{ name: KEY.name, type: body.type, version: 1, revision: 1, body, labels: ["production"] },
    ...{ contentHash: contentHash(canonicalBody(body)), tags: ["t"], commitMessage: "m" },
    ...{ author: "a", createdAt: new Date(1), updatedAt: new Date(2) },
  };
  return { version, readAt };
}

function change(revision: number, name = "another", hash = `hash ${revision}`): ChainedChange {
  const more = {
    versions: [1],
    labels: [],
    createdAt: new Date(revision),
    reason: "r",
    actor: "a",
  };
  return { change: { revision, kind: "labels_set", project: "default", name, ...more }, hash };
}

const at = ({ change: { revision }, hash }: ChainedChange) => ({ revision, hash });

async function rawRedis(url: string): Promise<Redis> {
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  return redis;
}

describeOnRedis("prompts in Redis", (server) => {
  it("come back as they were put, to every process that stands at the same place", async () => {
    const [one, two] = [await openProcess(server().url), await openProcess(server().url)];
    await one.prompts.put(KEY, prompt("x {{y}} 😀"), NOWHERE);
    expect(await two.prompts.look(KEY, NOWHERE, 0, undefined)).toEqual(prompt("x {{y}} 😀"));
    expect(await two.prompts.look(KEY, at(change(1)), 0, undefined)).toBe("apart");
  });

  it("are apart by project, name and selector, and label 3 is not version 3", async () => {
    const { prompts } = await openProcess(server().url);
    await prompts.put({ ...KEY, selector: { version: 3 } }, prompt("version"), NOWHERE);
    const others: PromptKey[] = [
      { ...KEY, selector: { label: "3" } },
      { ...KEY, selector: { version: 3 }, project: "other" },
      { ...KEY, selector: { version: 3 }, name: "c" },
    ];
    for (const key of others) {
      expect(await prompts.look(key, NOWHERE, 0, undefined)).toBe("apart");
    }
  });

  it("are gone with a change of their prompt, in the same step, and with no other", async () => {
    const { prompts, stream } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    await stream.append(undefined, [change(1)]);
    expect(await prompts.look(KEY, at(change(1)), 0, undefined)).toEqual(prompt("one"));
    expect(await prompts.look(KEY, NOWHERE, 0, undefined)).toBe("apart");
    await stream.append(at(change(1)), [change(2, KEY.name)]);
    expect(await prompts.look(KEY, at(change(2)), 0, "me")).toBe("claimed");
  });

  it("are not put by who has not heard of all changes", async () => {
    const { prompts, stream } = await openProcess(server().url);
    await stream.append(undefined, [change(1, KEY.name)]);
    await prompts.put(KEY, prompt("old"), NOWHERE);
    await prompts.put(KEY, prompt("old"), { revision: 1, hash: "another history" });
    expect(await prompts.look(KEY, at(change(1)), 0, undefined)).toBe("apart");
  });

  it("will not do where they were read too long ago, but are there without a claim", async () => {
    const { prompts } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one", 5000), NOWHERE);
    expect(await prompts.look(KEY, NOWHERE, 5000, "me")).toBe("claimed");
    expect(await prompts.look(KEY, NOWHERE, 4999.5, "other")).toEqual(prompt("one", 5000));
  });

  it("are read from the source by one process, until it gives its claim back", async () => {
    const [one, two] = [await openProcess(server().url), await openProcess(server().url)];
    expect(await one.prompts.look(KEY, NOWHERE, 0, "one")).toBe("claimed");
    expect(await two.prompts.look(KEY, NOWHERE, 0, "two")).toBe("busy");
    await two.prompts.release(KEY, "two");
    expect(await two.prompts.look(KEY, NOWHERE, 0, "two")).toBe("busy");
    await one.prompts.release(KEY, "one");
    expect(await two.prompts.look(KEY, NOWHERE, 0, "two")).toBe("claimed");
  });

  it("are read by a process that never heard of its claim", async () => {
    const { prompts } = await openProcess(server().url);
    for (const _ of [1, 2]) expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("claimed");
  });

  it("are removed where the source says that they are gone", async () => {
    const { prompts } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    await prompts.remove(KEY);
    expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("claimed");
  });

  it("are not taken where a body is not what its hash says, or is gone", async () => {
    const { prompts } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    const raw = await rawRedis(server().url);
    const [content = ""] = await raw.keys("promptd:*:content:*");
    await raw.set(content, canonicalBody(prompt("two").version.body));
    expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("apart");
    await raw.del(content);
    expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("claimed");
  });

  it.each<[what: string, entry: (readAt: string, hash: string, json: string) => string]>([
    ["no entry", () => "x"],
    ["no JSON", (readAt, hash) => `${readAt} ${hash} {`],
    ["null", (readAt, hash) => `${readAt} ${hash} null`],
    ["an empty object", (readAt, hash) => `${readAt} ${hash} {}`],
    ["of another prompt", (...of) => of.join(" ").replace(/"name":"[^"]*"/, '"name":"other"')],
    ["of another version", (...of) => of.join(" ").replace('"version":1', '"version":7')],
    ["a version that is none", (...of) => of.join(" ").replace('"version":1', '"version":true')],
    ["read at no time", (_, ...of) => ["9".repeat(400), ...of].join(" ")],
    ["made at no time", (...of) => of.join(" ").replace('"createdAt":1', '"createdAt":9e15')],
  ])("are not taken where their entry was made by somebody else: %s", async (_, tampered) => {
    const { prompts, circuit } = await openProcess(server().url);
    const key = { ...KEY, selector: { version: 1 } };
    await prompts.put(key, prompt("one"), NOWHERE);
    const raw = await rawRedis(server().url);
    const [hash = ""] = await raw.keys("promptd:*:prompt:*");
    const [, ...entry] = /^(\d+) (\w+) (.*)$/.exec((await raw.hget(hash, "v1")) ?? "") ?? [];
    await raw.hset(hash, "v1", tampered(...(entry as [string, string, string])));
    for (let look = 0; look < 5; look++) {
      expect(["apart", "claimed", "busy"]).toContain(await prompts.look(key, NOWHERE, 0, "me"));
    }
    expect(circuit.closed).toBe(true);
    await prompts.put(key, prompt("one"), NOWHERE);
    expect(await prompts.look(key, NOWHERE, 0, undefined)).toEqual(prompt("one"));
  });

  it("tell the hash that their body has, whatever else stands there", async () => {
    const { prompts } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    const raw = await rawRedis(server().url);
    const [hash = ""] = await raw.keys("promptd:*:prompt:*");
    const entry = (await raw.hget(hash, "lproduction")) ?? "";
    await raw.hset(hash, "lproduction", entry.replace("{", '{"contentHash":true,"type":"chat",'));
    expect(await prompts.look(KEY, NOWHERE, 0, undefined)).toEqual(prompt("one"));
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["of no type", { format: "mustache", config: {}, template: "x" }],
    ["of items that are none", { type: "chat", format: "mustache", config: {}, template: [null] }],
    ["of another format", { type: "text", format: "x", config: {}, template: "x" }],
    ["without a config", { type: "text", format: "mustache", template: "x" }],
  ])("are not taken with a body that nobody could have put there: %s", async (_, body) => {
    const { prompts } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    const raw = await rawRedis(server().url);
    const [hash = ""] = await raw.keys("promptd:*:prompt:*");
    const entry = (await raw.hget(hash, "lproduction")) ?? "";
    const text = JSON.stringify(body);
    const [content = ""] = await raw.keys("promptd:*:content:*");
    await raw.set(content.replace(/[0-9a-f]+$/, sha256(text)), text);
    await raw.hset(hash, "lproduction", entry.replace(/ [0-9a-f]{64} /, ` ${sha256(text)} `));
    expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("apart");
  });

  it("all expire", async () => {
    const { prompts, stream } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    await prompts.look({ ...KEY, name: "other" }, NOWHERE, 0, "me");
    const raw = await rawRedis(server().url);
    const keys = await raw.keys("promptd:*:*");
    expect(keys).toHaveLength(3);
    for (const key of keys) expect(await raw.pttl(key)).toBeGreaterThan(0);
    await stream.append(undefined, [change(1)]);
  });

  it.each([
    ["is gone", () => server().crash()],
    ["hangs", async () => server().pause()],
  ])("are passed over while Redis %s, and there again soon after", async (_, fail) => {
    const { prompts, circuit, stream } = await openProcess(server().url);
    await prompts.put(KEY, prompt("one"), NOWHERE);
    await fail();
    for (let call = 0; call < 5; call++) {
      expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("apart");
      await prompts.put(KEY, prompt("one"), NOWHERE);
      await expect(stream.newest()).rejects.toMatchObject({ code: "unavailable" });
    }
    expect(circuit.closed).toBe(false);
    server().resume();
    await server().restart();
    await expect.poll(() => prompts.look(KEY, NOWHERE, 0, "me"), { timeout: 5000 }).toBe("claimed");
  });
});

describeOnRedis("the stream of changes", (server) => {
  it("holds changes under their revisions, as they were put in", async () => {
    const { stream } = await openProcess(server().url);
    expect(await stream.newest()).toBeUndefined();
    const changes = [change(5), change(6), change(7)];
    await stream.append(undefined, changes);
    expect(await stream.newest()).toEqual({ revision: 7, hash: "hash 7" });
    expect(await stream.from(6, 10)).toMatchObject(changes.slice(1));
    expect(await stream.from(0, 2)).toMatchObject(changes.slice(0, 2));
    expect(await stream.next(5)).toMatchObject([
      { ...changes[1], previous: "hash 5" },
      { ...changes[2], previous: "hash 6" },
    ]);
  });

  it("takes changes behind its end only, so that who is late puts nothing twice", async () => {
    const [one, two] = [await openProcess(server().url), await openProcess(server().url)];
    await one.stream.append(undefined, [change(1), change(2)]);
    await two.stream.append(undefined, [change(1), change(2), change(3)]);
    await two.stream.append(at(change(1)), [change(2), change(3)]);
    expect(await two.stream.newest()).toMatchObject({ revision: 2 });
    await two.stream.append(at(change(2)), [change(3)]);
    expect(await one.stream.from(1, 10)).toHaveLength(3);
  });

  it("tells at once who waits for the next change", async () => {
    const [one, two] = [await openProcess(server().url), await openProcess(server().url)];
    const next = two.stream.next(0);
    await setTimeout(50);
    await one.stream.append(undefined, [change(1)]);
    expect(await next).toMatchObject([change(1)]);
    expect(await two.stream.next(1)).toEqual([]);
  });

  it("takes thousands of changes at once, and keeps the last ten thousand", async () => {
    const { stream } = await openProcess(server().url);
    const changes = Array.from({ length: 12_000 }, (_, index) => change(index + 1));
    await stream.append(undefined, changes);
    expect(await stream.newest()).toMatchObject({ revision: 12_000 });
    const [first] = await stream.from(0, 1);
    expect(first?.change.revision).toBeGreaterThan(1);
    expect(first?.change.revision).toBeLessThanOrEqual(2001);
  });

  it("begins anew with all that is shared, for all processes, once", async () => {
    const [one, two] = [await openProcess(server().url), await openProcess(server().url)];
    await one.stream.append(undefined, [change(9)]);
    await one.prompts.put(KEY, prompt("one"), at(change(9)));
    await two.stream.renew();
    expect(await two.stream.newest()).toBeUndefined();
    await two.stream.append(undefined, [change(3, "another", "restored")]);
    // It does not know yet, so it begins nothing.
    await one.stream.renew();
    expect([one.states, two.states]).toEqual([[], ["renewed"]]);
    expect(await one.stream.newest()).toEqual({ revision: 3, hash: "restored" });
    expect(await one.prompts.look(KEY, at(change(9)), 0, undefined)).toBe("apart");
  });

  it.each(["", "{", "null", "[]", '{"revision":1}', "a key that is no text"])(
    "tells of no change that is none: %j",
    async (text) => {
      const { stream } = await openProcess(server().url);
      await stream.append(undefined, [change(1)]);
      const raw = await rawRedis(server().url);
      const [key = ""] = await raw.keys("promptd:*:changes");
      const none = JSON.stringify({ ...change(2).change, kind: "key_revoked", name: true });
      const entry = text.startsWith("a key") ? none : text;
      await raw.xadd(key, "2-0", "hash", "h", "previous", "hash 1", "change", entry);
      await expect(stream.next(1)).rejects.toMatchObject({ code: "unavailable" });
      await expect(stream.from(1, 10)).rejects.toMatchObject({ code: "unavailable" });
      expect(await stream.newest()).toEqual({ revision: 2, hash: "h" });
    },
  );

  it("begins anew where Redis has lost everything", async () => {
    const { stream, states } = await openProcess(server().url);
    await stream.append(undefined, [change(1)]);
    await (await rawRedis(server().url)).flushall();
    expect(await stream.newest()).toBeUndefined();
    await stream.append(undefined, [change(1), change(2)]);
    await server().restart();
    await expect.poll(() => stream.newest().catch(() => "gone")).toBeUndefined();
    expect(states).toEqual(["gone", "reached"]);
  });
});

describeOnRedis("a Redis", (server) => {
  it("is one database's, and refused to every other", async () => {
    await openProcess(server().url, "one");
    await expect(openProcess(server().url, "two")).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining("belongs to the promptd database one, and this one is two"),
    });
    await openProcess(`${server().url}/1`, "two");
  });

  it("says so where another database's is found later", async () => {
    await server().crash();
    const late = await openProcess(server().url, "two");
    await server().restart();
    await openProcess(server().url, "one");
    await expect.poll(() => late.reach().catch(({ code }) => code)).toBe("refused");
  });

  it("that refuses to be written is told of once, and why", async () => {
    const { prompts, reach, stream, states } = await openProcess(server().url);
    await reach();
    const raw = await rawRedis(server().url);
    await raw.config("SET", "maxmemory", "1");
    await expect(stream.append(undefined, [change(1)])).rejects.toMatchObject({
      code: "unavailable",
      message: "Redis refuses to work (OOM)",
    });
    expect(await prompts.look(KEY, NOWHERE, 0, "me")).toBe("apart");
    expect(states).toEqual(["refuses"]);
  });

  it("may be away when it is opened", async () => {
    await server().crash();
    const { stream, states } = await openProcess(server().url);
    await expect(stream.newest()).rejects.toMatchObject({ code: "unavailable" });
    await server().restart();
    await expect.poll(() => stream.newest().catch(() => "gone"), { timeout: 5000 }).toBeUndefined();
    expect(states).toEqual(["gone", "reached"]);
  });
});
