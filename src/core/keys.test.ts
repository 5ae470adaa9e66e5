import { describe, expect, it } from "vitest";
import { allowsPrompt, Gate, hashSecret, type Key, newKeyId, newSecret } from "./keys.ts";
import type { KeyStore } from "./ports.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

/** A store of one key, and what was asked of it. */
function storeOf(key: Key | undefined, secret: string, noteUse: () => Promise<void>): KeyStore {
  const unused = () => Promise.reject(new Error("not asked for"));
  return {
    anyKey: async () => key !== undefined,
    findKey: async (secretHash) =>
      key && secretHash === hashSecret(secret) ? { key, secretHash } : undefined,
    findCertificateKey: async (subject) => (subject === key?.certificateSubject ? key : undefined),
    noteUse,
    hasProject: async (id) => id === "other",
    createKey: unused,
    listKeys: unused,
    revokeKey: unused,
    rotateKey: unused,
  };
}

function gateOf(more: Partial<Key> = {}) {
  const secret = newSecret();
  const key: Key = {
    id: newKeyId(),
    name: "key",
    project: "default",
    scopes: ["read"],
    promptPatterns: [],
    creator: "tester",
    createdAt: new Date(START),
    ...more,
  };
  const clock = { now: START };
  const uses: number[] = [];
  let failing = false;
  const store = storeOf(key, secret, async () => {
    uses.push(clock.now);
    if (failing) throw new Error("the database is down");
  });
  const gate = new Gate(store, false, () => clock.now);
  const fail = (does: boolean) => {
    failing = does;
  };
  return { key, secret, clock, uses, fail, gate };
}

describe("secrets", () => {
  it("hold 256 random bits, and ids 64", () => {
    expect(newSecret()).toMatch(/^promptd_[A-Za-z0-9_-]{43}$/);
    expect(newKeyId()).toMatch(/^key_[0-9a-f]{16}$/);
    expect(newSecret()).not.toBe(newSecret());
  });
});

describe("patterns", () => {
  it.each<[string[] | undefined, string, boolean]>([
    [undefined, "a", true],
    [[], "a", true],
    [["a"], "a", true],
    [["a"], "ab", false],
    [["support/*"], "support/reply", true],
    [["support/*"], "support", false],
    [["support/*"], "other/support/x", false],
    [["*"], "a", true],
    [["a", "b*"], "bc", true],
    [["a.c"], "abc", false],
  ])("%j allows %s: %s", (patterns, name, allowed) => {
    expect(allowsPrompt(patterns, name)).toBe(allowed);
  });
});

describe("the gate", () => {
  it("lets everybody in until there is a key", async () => {
    const gate = new Gate(
      storeOf(undefined, "", async () => {}),
      true,
    );
    const anybody = { project: "default", actor: "anonymous" };
    expect(await gate.admit(undefined, undefined)).toMatchObject(anybody);
    expect(await gate.admit({ secret: "whatever" }, undefined)).toMatchObject(anybody);
    expect(await gate.admit(undefined, "other")).toMatchObject({ project: "other" });
  });

  it("lets a key in until the moment when it expires", async () => {
    const { gate, secret, key, clock } = gateOf({ expiresAt: new Date(START + 1000) });
    clock.now = START + 999;
    expect(await gate.admit({ secret }, undefined)).toMatchObject({ actor: key.id });
    clock.now = START + 1000;
    await expect(gate.admit({ secret }, undefined)).rejects.toMatchObject({
      code: "unauthenticated",
    });
  });

  it("does not tell a revoked key from an unknown one", async () => {
    const revoked = gateOf({ revokedAt: new Date(START) });
    const message = async (secret: string) =>
      revoked.gate.admit({ secret }, undefined).catch((error: Error) => error.message);
    expect(await message(revoked.secret)).toBe(await message(newSecret()));
  });

  it("takes an id only together with its own secret", async () => {
    const { gate, secret, key } = gateOf();
    expect(await gate.admit({ secret, id: key.id }, undefined)).toMatchObject({ actor: key.id });
    const foreign = gate.admit({ secret, id: newKeyId() }, undefined);
    await expect(foreign).rejects.toMatchObject({ code: "unauthenticated" });
  });

  it("takes a certificate's subject for the key that is bound to it", async () => {
    const certificateSubject = "CN=checkout";
    const { gate, key, clock, uses } = gateOf({
      certificateSubject,
      expiresAt: new Date(START + 1000),
    });
    const admitted = await gate.admit({ certificateSubject }, undefined);
    expect(admitted).toMatchObject({ actor: key.id, scopes: ["read"] });
    expect(uses).toEqual([START]);
    const refusal = { code: "unauthenticated", message: expect.stringContaining("CN=") };
    const stranger = gate.admit({ certificateSubject: "CN=other" }, undefined);
    await expect(stranger).rejects.toMatchObject(refusal);
    clock.now = START + 1000;
    await expect(gate.admit({ certificateSubject }, undefined)).rejects.toMatchObject(refusal);
  });

  it("lets only an admin name another project", async () => {
    const reader = gateOf();
    expect(await reader.gate.admit({ secret: reader.secret }, "default")).toMatchObject({
      project: "default",
    });
    const other = reader.gate.admit({ secret: reader.secret }, "other");
    await expect(other).rejects.toMatchObject({ code: "forbidden" });
    const admin = gateOf({ scopes: ["admin"] });
    expect(await admin.gate.admit({ secret: admin.secret }, "other")).toMatchObject({
      project: "other",
    });
  });

  it("knows no project that does not exist, with a key or without", async () => {
    const admin = gateOf({ scopes: ["admin"] });
    const open = new Gate(
      storeOf(undefined, "", async () => {}),
      true,
    );
    for (const admitted of [
      admin.gate.admit({ secret: admin.secret }, "made up"),
      open.admit(undefined, "made up"),
    ]) {
      await expect(admitted).rejects.toMatchObject({ code: "not_found" });
    }
  });

  it("notes a use once a minute, and again where that failed", async () => {
    const { gate, secret, clock, uses, fail } = gateOf();
    const use = () => gate.admit({ secret }, undefined);
    await use();
    clock.now += 59_999;
    await use();
    expect(uses).toEqual([START]);
    clock.now += 1;
    fail(true);
    await use();
    await new Promise(setImmediate);
    fail(false);
    await use();
    expect(uses).toEqual([START, START + 60_000, START + 60_000]);
  });
});
