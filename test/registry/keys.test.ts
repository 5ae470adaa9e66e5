import { beforeEach, expect, it } from "vitest";
import { hashSecret, newKeyId, newSecret } from "../../src/core/keys.ts";
import type { NewKey } from "../../src/core/ports.ts";
import { Keys } from "../../src/store/keys.ts";
import { Projects } from "../../src/store/projects.ts";
import { Registry } from "../../src/store/registry.ts";
import { failure } from "./fixtures.ts";
import { describeOnBoth } from "./on-both.ts";

const caller = { project: "default", actor: "tester", origin: "here" };
const now = Date.parse("2026-01-01T00:00:00Z");

const newKey = (more: Partial<NewKey> = {}): NewKey => ({
  id: newKeyId(),
  name: "key",
  scopes: ["read"],
  promptPatterns: [],
  secretHash: hashSecret(newSecret()),
  ...more,
});

describeOnBoth("keys", (subject) => {
  let keys: Keys;

  beforeEach(() => {
    keys = new Keys(subject.database, () => now);
  });

  it("are found by the hash of their secret, with all that was granted", async () => {
    expect(await keys.anyKey()).toBe(false);
    const key = newKey({
      name: "ü 🙂",
      scopes: ["read", "admin"],
      promptPatterns: ["support/*"],
      expiresAt: new Date(now + 1000),
    });
    const created = await keys.createKey(caller, key);
    const found = await keys.findKey(key.secretHash);
    expect(found).toEqual({ key: created, secretHash: key.secretHash });
    expect(created).toEqual({
      id: key.id,
      name: "ü 🙂",
      project: "default",
      scopes: ["read", "admin"],
      promptPatterns: ["support/*"],
      creator: "tester",
      createdAt: new Date(now),
      expiresAt: new Date(now + 1000),
    });
    expect(await keys.findKey(hashSecret("another"))).toBeUndefined();
    expect(await keys.anyKey()).toBe(true);
  });

  it("are revoked once, rotated until then, and stay keys", async () => {
    const granted = { scopes: ["read", "write"] as const, promptPatterns: ["a", "b/*"] };
    const key = newKey({ ...granted, expiresAt: new Date(now + 1000) });
    await keys.createKey(caller, key);
    const secretHash = hashSecret(newSecret());
    await keys.rotateKey(caller, key.id, secretHash, "leaked");
    expect(await keys.findKey(key.secretHash)).toBeUndefined();
    expect((await keys.findKey(secretHash))?.key.id).toBe(key.id);

    const revoked = await keys.revokeKey(caller, key.id, "gone");
    expect(revoked.revokedAt).toEqual(new Date(now));
    await keys.revokeKey(caller, key.id, "again");
    await expect(keys.rotateKey(caller, key.id, key.secretHash, "")).rejects.toMatchObject({
      code: "refused",
    });
    await expect(keys.revokeKey(caller, "key_none", "")).rejects.toMatchObject({
      code: "not_found",
    });
    expect(await keys.anyKey()).toBe(true);
    const { items } = await new Registry(subject.database).listChanges(caller, {}, { size: 9 });
    expect(items.map(({ kind, reason, name }) => [kind, reason, name])).toEqual([
      ["key_revoked", "gone", key.id],
      ["key_rotated", "leaked", key.id],
      ["key_created", "key", key.id],
    ]);
    const grant = { name: "key", ...granted, expiresAt: new Date(now + 1000) };
    expect(items.map((change) => change.grant)).toEqual([grant, grant, grant]);
    expect(items.map(({ actor, origin }) => [actor, origin])).toContainEqual(["tester", "here"]);
  });

  it("are listed page by page, and belong to their project alone", async () => {
    const projects = new Projects(subject.database, () => now);
    await projects.create(caller, "other");
    await expect(projects.create(caller, "other")).rejects.toMatchObject({ code: "refused" });
    await expect(projects.create(caller, "Not one")).rejects.toMatchObject({ code: "invalid" });
    expect((await projects.list()).map(({ id }) => id)).toEqual(["default", "other"]);
    const inOther = { ...caller, project: "other" };
    const { items } = await new Registry(subject.database).listChanges(inOther, {}, { size: 9 });
    expect(items).toMatchObject([
      { revision: 1, kind: "project_created", name: "other", actor: "tester", origin: "here" },
    ]);

    const other = { project: "other", actor: "tester" };
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await keys.createKey(caller, newKey())).id);
    const theirs = await keys.createKey(other, newKey());
    ids.sort();
    const first = await keys.listKeys(caller, { size: 2 });
    expect(first.items.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const rest = await keys.listKeys(caller, { size: 2, after: first.next ?? "" });
    expect(rest).toMatchObject({ items: [{ id: ids[2] }] });
    expect(rest.next).toBeUndefined();
    await expect(keys.revokeKey(caller, theirs.id, "")).rejects.toMatchObject({
      code: "not_found",
    });
    const nowhere = { project: "nowhere", actor: "tester" };
    await expect(keys.createKey(nowhere, newKey())).rejects.toMatchObject({ code: "not_found" });
  });

  it("of a certificate are found by its subject until they are revoked, one at a time", async () => {
    const certificateSubject = "CN=checkout,O=S\\C3\\B6hne\\, Inc.";
    const key = newKey({ certificateSubject });
    expect(await keys.createKey(caller, key)).toMatchObject({ id: key.id, certificateSubject });
    expect(await keys.findCertificateKey(certificateSubject)).toMatchObject({ id: key.id });
    expect(await keys.findCertificateKey(certificateSubject.toLowerCase())).toBeUndefined();
    await keys.createKey(caller, newKey());

    await new Projects(subject.database, () => now).create(caller, "other");
    const elsewhere = { project: "other", actor: "tester" };
    const second = newKey({ certificateSubject });
    expect(await failure(keys.createKey(elsewhere, second))).toMatchObject({
      code: "refused",
      message: `key ${key.id} of project default has this certificate subject: revoke it first`,
    });
    const rotated = await failure(keys.rotateKey(caller, key.id, hashSecret(newSecret()), ""));
    expect(rotated).toMatchObject({ code: "refused", message: expect.stringContaining("renew") });

    await keys.revokeKey(caller, key.id, "gone");
    expect(await keys.findCertificateKey(certificateSubject)).toBeUndefined();
    await keys.createKey(elsewhere, second);
    expect(await keys.findCertificateKey(certificateSubject)).toMatchObject({ project: "other" });
    const { items } = await keys.listKeys(caller, { size: 9 });
    expect(items.find(({ id }) => id === key.id)).toMatchObject({ certificateSubject });
  });

  it("have their use written down", async () => {
    const key = newKey();
    await keys.createKey(caller, key);
    await keys.noteUse(caller, key.id, new Date(now + 60_000));
    expect((await keys.findKey(key.secretHash))?.key.lastUsedAt).toEqual(new Date(now + 60_000));
  });
});
