/** Keys: who may call, and what they may do. */

import { randomBytes, timingSafeEqual } from "node:crypto";
import { sha256 } from "./content-hash.ts";
import { PromptdError } from "./errors.ts";
import type { Caller, KeyLookup } from "./ports.ts";

/** What a key may do; none includes another. In the order in which they are shown. */
export const KEY_SCOPES = ["read", "write", "release", "admin"] as const;

export type KeyScope = (typeof KEY_SCOPES)[number];

/** A key without its secret, of which only the hash is kept. */
export interface Key {
  id: string;
  name: string;
  project: string;
  scopes: readonly KeyScope[];
  /** Names of prompts, or beginnings of names that end with `*`; none means all. */
  promptPatterns: readonly string[];
  creator: string;
  createdAt: Date;
  expiresAt?: Date;
  revokedAt?: Date;
  /** To the minute. */
  lastUsedAt?: Date;
  /** Of client certificates, in RFC 4514. Such a key has no secret that anybody knows. */
  certificateSubject?: string;
}

/** What the history keeps of a key. */
export type KeyGrant = Pick<
  Key,
  "name" | "scopes" | "promptPatterns" | "expiresAt" | "certificateSubject"
>;

/** What a caller sent to say who it is: a secret, with the key's id where it was sent too, or a certificate. */
export type Credential = { secret: string; id?: string } | { certificateSubject: string };

/** A public id: 64 random bits. */
export function newKeyId(): string {
  return `key_${randomBytes(8).toString("hex")}`;
}

/** A secret of 256 random bits, recognizable in logs and by secret scanners. */
export function newSecret(): string {
  return `promptd_${randomBytes(32).toString("base64url")}`;
}

/**
 * Lower-case hex of SHA-256. A secret has 256 random bits, so there is nothing to
 * guess that a slow hash would protect.
 */
export function hashSecret(secret: string): string {
  return sha256(secret);
}

/** Whether a key may be used on a prompt. */
export function allowsPrompt(patterns: readonly string[] | undefined, name: string): boolean {
  if (patterns === undefined || patterns.length === 0) return true;
  return patterns.some((pattern) =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );
}

/** The actor where nobody needs a key. */
export const ANONYMOUS = "anonymous";

/** The project that is there from the start, and the operator's where there are more. */
export const DEFAULT_PROJECT = "default";

/** Who calls then. */
const ANYBODY = {
  project: DEFAULT_PROJECT,
  actor: ANONYMOUS,
  scopes: KEY_SCOPES as readonly KeyScope[],
};

const LAST_USE_MS = 60_000;

/** Who was let in, and to what. */
type Admission = Pick<Caller, "project" | "actor" | "scopes" | "promptPatterns">;

/** Lets callers in, by the keys of a store. */
export class Gate {
  readonly #keys: KeyLookup;
  readonly #now: () => number;
  /** When a key's use was last written down, by id. */
  readonly #noted = new Map<string, number>();
  /** Hashes of secrets that were good. */
  readonly #hashes = new WeakMap<Credential, string>();
  /** Nobody was asked for a key so far. For good once it is not so: keys that a restore takes away open no door. */
  #open: boolean;

  /**
   * @param open whether there was no key at first
   * @param now milliseconds since 1970
   */
  constructor(keys: KeyLookup, open: boolean, now: () => number = Date.now) {
    this.#keys = keys;
    this.#open = open;
    this.#now = now;
  }

  /**
   * @param project that the caller asks to act on, where it is not the key's own
   * @throws unauthenticated, forbidden for another project, not_found for one that does not exist, unavailable
   */
  async admit(credential: Credential | undefined, project: string | undefined): Promise<Admission> {
    const key = credential && (await this.#valid(credential));
    if (key === undefined) {
      if (this.#open) this.#open = !(await this.#keys.anyKey());
      if (!this.#open) throw unauthenticated(credential);
      return { ...ANYBODY, project: await this.#existing(project, ANYBODY.project) };
    }
    this.#noteUse(key);
    const { scopes } = key;
    if (project !== undefined && project !== key.project && !scopes.includes("admin")) {
      const message =
        "this key is of another project; only one with scope admin may name a project";
      throw new PromptdError("forbidden", message);
    }
    return admission(key, await this.#existing(project, key.project));
  }

  /** Lets in at once whose secret was good before; undefined where anything has to be looked up. */
  peek(credential: Credential): Admission | undefined {
    const hash = this.#hashes.get(credential);
    const key = hash && this.#keys.peekKey?.(hash);
    if (!key || !this.#isGood(key)) return undefined;
    this.#noteUse(key);
    return admission(key, key.project);
  }

  /** What calls are counted and remembered by must not be made up by callers. @throws not_found */
  async #existing(project: string | undefined, own: string): Promise<string> {
    if (project === undefined || project === own) return own;
    if (await this.#keys.hasProject(project)) return project;
    throw new PromptdError("not_found", "the project that x-promptd-project names does not exist");
  }

  async #valid(credential: Credential): Promise<Key | undefined> {
    const key =
      "secret" in credential
        ? await this.#keyOfSecret(credential)
        : await this.#keys.findCertificateKey(credential.certificateSubject);
    return key && this.#isGood(key) ? key : undefined;
  }

  #isGood({ revokedAt, expiresAt }: Key): boolean {
    if (revokedAt !== undefined) return false;
    return expiresAt === undefined || expiresAt.getTime() > this.#now();
  }

  async #keyOfSecret(credential: { secret: string; id?: string }): Promise<Key | undefined> {
    const { secret, id } = credential;
    const hash = hashSecret(secret);
    const found = await this.#keys.findKey(hash);
    if (found === undefined) return undefined;
    const { key, secretHash } = found;
    const same = timingSafeEqual(Buffer.from(secretHash), Buffer.from(hash));
    if (!same || (id !== undefined && id !== key.id)) return undefined;
    this.#hashes.set(credential, hash);
    return key;
  }

  /** Behind the call's back, and at most once a minute. */
  #noteUse({ id, project }: Key): void {
    const now = this.#now();
    if (now - (this.#noted.get(id) ?? 0) < LAST_USE_MS) return;
    this.#noted.set(id, now);
    this.#keys.noteUse({ project, actor: id }, id, new Date(now)).catch(() => {
      // The next use notes it.
      this.#noted.delete(id);
    });
  }
}

function admission({ id, scopes, promptPatterns }: Key, project: string): Admission {
  return { project, actor: id, scopes, promptPatterns };
}

/** The same words for a wrong, an expired and a revoked key: nobody learns which secrets were once good. */
function unauthenticated(credential: Credential | undefined): PromptdError {
  if (credential === undefined) {
    const message =
      "no key was sent; send one as `authorization: Bearer SECRET` or `x-api-key: SECRET`";
    return new PromptdError("unauthenticated", message);
  }
  const what =
    "secret" in credential
      ? "the key that was sent"
      : `no key was sent, and that of the certificate's subject ${credential.certificateSubject.slice(0, 512)}`;
  const message = `${what} is not valid: it is unknown, revoked or expired`;
  return new PromptdError("unauthenticated", message);
}
