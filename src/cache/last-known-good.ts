import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { deserialize, serialize } from "node:v8";
import Libsql from "libsql";
import { LRUCache } from "lru-cache";
import type { CachedPrompt, LastKnownGood, LastKnownKeys, PromptKey } from "../core/cache-ports.ts";
import type { PromptBody, PromptVersion } from "../core/prompt.ts";
import { keyText } from "../core/prompt-key.ts";

/** Prompts by version or label; past it those whose content came longest ago are dropped. */
const MOST_PROMPTS = 100_000;

/** Answers about keys and projects. */
const MOST_KEYS = 10_000;

/** How long what was answered waits to be written, in milliseconds. */
const WRITE_MS = 1000;

/** At the end, what waits is written as soon as no other process is writing, or not after so many milliseconds. */
const LAST_WRITE_MS = 500;

/** Written at once: nothing else runs meanwhile. */
const MOST_AT_ONCE = 500;

/** Waiting to be written; what comes then is not kept. */
const MOST_WAITING = 20_000;

/** Bodies stand once each, however many selectors lead to them. It is a cache: no write waits for the disk. */
const TABLES = `
  pragma synchronous = off;
  create table if not exists bodies (hash text primary key, body blob not null);
  create table if not exists prompts (
    key text primary key, hash text not null, prompt blob not null);
  create index if not exists prompts_hash on prompts (hash);
  create trigger if not exists unused_body after delete on prompts
    when not exists (select 1 from prompts where hash = old.hash)
    begin delete from bodies where hash = old.hash; end;
  create table if not exists keys (question text primary key, key_id text, answer blob not null);
  create index if not exists keys_key_id on keys (key_id);
  create table if not exists documents (name text primary key, content blob not null);`;

type Write = (db: Libsql.Database) => void;

/** What a row of prompts holds: all but the body. */
type KeptRow = Omit<CachedPrompt, "version"> & { version: Omit<PromptVersion, "body"> };

/**
 * A SQLite file that is written behind. One that cannot be used is told of once,
 * and is as empty; one that is damaged is replaced.
 */
export class LastKnownFile implements LastKnownGood {
  readonly keys: LastKnownKeys = new Keys(this);
  readonly #path: string;
  readonly #onFault: (message: string, cause: unknown) => void;
  #db: Libsql.Database | undefined;
  #faulty = false;
  /** What a key leads to once all is written; undefined: nothing. In order of writing. */
  readonly #waiting = new Map<string, { value: unknown; write: Write }>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** What was written of a key last, as `stateOf` tells it: Redis gives the same again and again. */
  readonly #written = new LRUCache<string, string>({ max: 10_000 });

  constructor(path: string, onFault: (message: string, cause: unknown) => void) {
    this.#path = path;
    this.#onFault = onFault;
  }

  get(key: PromptKey): CachedPrompt | undefined {
    const text = columnText(keyText(key));
    const waiting = this.waiting(`prompt ${text}`);
    if (waiting !== undefined) return waiting.value as CachedPrompt | undefined;
    return this.read((db) => {
      const sql = "select prompt, body from prompts join bodies using (hash) where key = ?";
      const row = db.prepare(sql).get([text]) as { prompt: Buffer; body: Buffer } | undefined;
      if (row === undefined) return undefined;
      const { version, ...kept } = deserialize(row.prompt) as KeptRow;
      return { ...kept, version: { ...version, body: deserialize(row.body) as PromptBody } };
    });
  }

  put(key: PromptKey, { version, asOf, readAt }: CachedPrompt): void {
    const text = columnText(keyText(key));
    const state = stateOf({ version, readAt });
    if (this.#lastState(text) === state) return;
    this.write(`prompt ${text}`, { version, asOf, readAt }, (db) => {
      this.#written.set(text, state);
      const { body, ...rest } = version;
      const hash = version.contentHash;
      const row = serialize({ version: rest, asOf, readAt } satisfies KeptRow);
      const same = "update prompts set prompt = ? where key = ? and hash = ?";
      if (db.prepare(same).run([row, text, hash]).changes > 0) return;
      db.prepare("delete from prompts where key = ?").run([text]);
      if (db.prepare("select 1 from bodies where hash = ?").get([hash]) === undefined) {
        db.prepare("insert into bodies values (?, ?)").run([hash, serialize(body)]);
      }
      db.prepare("insert into prompts values (?, ?, ?)").run([text, hash, row]);
    });
  }

  #lastState(text: string): string | undefined {
    const waiting = this.waiting(`prompt ${text}`);
    if (waiting === undefined) return this.#written.get(text);
    return waiting.value === undefined ? undefined : stateOf(waiting.value as CachedPrompt);
  }

  remove(key: PromptKey): void {
    const text = columnText(keyText(key));
    // What does not exist may be asked for without end, and nothing need be written of it.
    if (this.get(key) === undefined) return;
    this.write(`prompt ${text}`, undefined, (db) => {
      this.#written.delete(text);
      db.prepare("delete from prompts where key = ?").run([text]);
    });
  }

  /** Whether it knows no prompt. */
  get empty(): boolean {
    for (const [name, { value }] of this.#waiting) {
      if (name.startsWith("prompt ") && value !== undefined) return false;
    }
    return this.read((db) => db.prepare("select 1 from prompts limit 1").get([])) === undefined;
  }

  /** Writes what waits, and lets go of the file. What comes later is not kept. */
  close(): void {
    if (this.#waiting.size > 0)
      this.read((db) => db.exec(`pragma busy_timeout = ${LAST_WRITE_MS}`));
    while (this.#waiting.size > 0 && this.#flush());
    clearTimeout(this.#timer);
    this.#closed = true;
    this.#db?.close();
    this.#db = undefined;
  }

  /** What waits to be written under a name. */
  waiting(name: string): { value: unknown } | undefined {
    return this.#waiting.get(name);
  }

  /** Whatever waits under names that are chosen is not written. */
  unwrite(chosen: (name: string, value: unknown) => boolean): void {
    for (const [name, { value }] of this.#waiting) {
      if (chosen(name, value)) this.#waiting.delete(name);
    }
  }

  write(name: string, value: unknown, write: Write): void {
    this.#waiting.delete(name);
    if (this.#closed || this.#waiting.size >= MOST_WAITING) return;
    this.#waiting.set(name, { value, write });
    this.#schedule(WRITE_MS);
  }

  /** @returns undefined where it cannot be read */
  read<Result>(work: (db: Libsql.Database) => Result): Result | undefined {
    if (this.#closed) return undefined;
    try {
      return this.#use(work);
    } catch (cause) {
      this.#fault(cause);
      return undefined;
    }
  }

  /** An open transaction ends with the connection. */
  #use<Result>(work: (db: Libsql.Database) => Result): Result {
    try {
      this.#db ??= open(this.#path);
      return work(this.#db);
    } catch (cause) {
      this.#written.clear();
      this.#db?.close();
      this.#db = undefined;
      throw cause;
    }
  }

  #schedule(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#flush() && this.#waiting.size > 0) this.#schedule(1);
    }, ms).unref();
  }

  /** @returns whether it could be written; where not, all that waits is dropped, unless another process is writing */
  #flush(): boolean {
    const batch = [...this.#waiting].slice(0, MOST_AT_ONCE);
    try {
      this.#use((db) => {
        db.exec("begin immediate");
        for (const [, { write }] of batch) write(db);
        prune(db);
        db.exec("commit");
      });
    } catch (cause) {
      if (hasCode(cause, "SQLITE_BUSY")) {
        this.#schedule(WRITE_MS);
      } else {
        this.#waiting.clear();
        this.#fault(cause);
      }
      return false;
    }
    this.#faulty = false;
    for (const [name] of batch) this.#waiting.delete(name);
    return true;
  }

  #fault(cause: unknown): void {
    const isDamaged = hasCode(cause, "SQLITE_CORRUPT") || hasCode(cause, "SQLITE_NOTADB");
    if (isDamaged) removeFile(this.#path);
    if (this.#faulty) return;
    this.#faulty = true;
    this.#onFault("what was last known good cannot be kept on disk or read from there", cause);
  }
}

class Keys implements LastKnownKeys {
  readonly #file: LastKnownFile;
  /** A key that was to be forgotten may still be in the file. */
  #outdated = false;

  constructor(file: LastKnownFile) {
    this.#file = file;
  }

  get(question: string): unknown {
    const text = columnText(question);
    const waiting = this.#file.waiting(`key ${text}`) as { value: KeptAnswer } | undefined;
    if (waiting !== undefined) return waiting.value?.answer;
    if (this.#outdated) return undefined;
    return this.#file.read((db) => {
      const row = db.prepare("select answer from keys where question = ?").get([text]);
      return row && deserialize((row as { answer: Buffer }).answer);
    });
  }

  put(question: string, answer: unknown, keyId?: string): void {
    const text = columnText(question);
    this.#file.write(`key ${text}`, { answer, keyId } satisfies KeptAnswer, (db) => {
      const row = [text, keyId ?? null, serialize(answer)];
      db.prepare("insert or replace into keys values (?, ?, ?)").run(row);
    });
  }

  remove(question: string): void {
    const text = columnText(question);
    if (this.get(question) === undefined) return;
    this.#file.write(`key ${text}`, undefined, (db) => {
      db.prepare("delete from keys where question = ?").run([text]);
    });
  }

  forgetKey(id: string): void {
    const ofKey = (name: string, value: unknown) =>
      name.startsWith("key ") && (value as KeptAnswer)?.keyId === id;
    this.#file.unwrite(ofKey);
    const done = this.#file.read((db) => db.prepare("delete from keys where key_id = ?").run([id]));
    if (done === undefined) this.#outdated = true;
  }

  clear(): void {
    this.#file.unwrite((name) => name.startsWith("key "));
    const done = this.#file.read((db) => db.prepare("delete from keys").run([]));
    this.#outdated = done === undefined;
  }
}

type KeptAnswer = { answer: unknown; keyId: string | undefined } | undefined;

function stateOf({ version, readAt }: Pick<CachedPrompt, "version" | "readAt">): string {
  return `${readAt} ${version.revision} ${version.contentHash}`;
}

/** libsql cuts a text at U+0000. */
function columnText(key: string): string {
  return JSON.stringify(key);
}

/** The oldest of what is too much; row ids count up with each write. */
function prune(db: Libsql.Database): void {
  for (const [table, most] of Object.entries({ prompts: MOST_PROMPTS, keys: MOST_KEYS })) {
    const oldest = `select rowid from ${table} order by rowid desc limit 1 offset ${most}`;
    db.exec(`delete from ${table} where rowid <= (${oldest})`);
  }
}

/** For nobody but the owner. What no prompt leads to any more is dropped. */
function open(path: string): Libsql.Database {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "a", 0o600));
  } catch {
    // A file that cannot be written may be readable all the same.
  }
  const db = new Libsql(path, { timeout: 5 });
  try {
    db.exec(TABLES);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Whether it is SQLite's, or a kind of it: SQLITE_CORRUPT_VTAB for SQLITE_CORRUPT. */
function hasCode(cause: unknown, code: string): boolean {
  return cause instanceof Error && "code" in cause && String(cause.code).startsWith(code);
}

function removeFile(path: string): void {
  for (const file of [path, `${path}-journal`]) {
    try {
      rmSync(file, { force: true });
    } catch {
      // Then it stays as it is, and nothing is kept.
    }
  }
}
