import type { Key } from "./keys.ts";
import type { Caller, ChangeFeed, KeyLookup } from "./ports.ts";

/** Answers that are remembered; when there are more, all are asked for again. */
const MOST_REMEMBERED = 10_000;

/**
 * Remembers which keys and projects there are, so that calls do not wait for the
 * database. What is not there is asked for each time. A change of any key drops
 * what is remembered of all.
 */
export class KnownKeys implements KeyLookup {
  readonly #keys: KeyLookup;
  readonly #known = new Map<string, unknown>();
  /** Counts up with each drop: what was read before is not remembered after it. */
  #drops = 0;

  constructor(keys: KeyLookup, feed: ChangeFeed) {
    this.#keys = keys;
    const drop = () => {
      this.#known.clear();
      this.#drops++;
    };
    feed.subscribe({
      changed: ({ kind }) => {
        if (kind.startsWith("key_")) drop();
      },
      lost: drop,
    });
  }

  async anyKey(): Promise<boolean> {
    return (await this.#remembered("any", () => this.#keys.anyKey())) === true;
  }

  async hasProject(id: string): Promise<boolean> {
    return (await this.#remembered(`project ${id}`, () => this.#keys.hasProject(id))) === true;
  }

  findKey(secretHash: string) {
    return this.#remembered(`secret ${secretHash}`, () => this.#keys.findKey(secretHash));
  }

  findCertificateKey(subject: string): Promise<Key | undefined> {
    return this.#remembered(`subject ${subject}`, () => this.#keys.findCertificateKey(subject));
  }

  noteUse(caller: Caller, id: string, at: Date): Promise<void> {
    return this.#keys.noteUse(caller, id, at);
  }

  async #remembered<Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer> {
    const known = this.#known.get(what);
    if (known !== undefined) return known as Answer;
    const drops = this.#drops;
    const answer = await ask();
    if (answer && drops === this.#drops) {
      if (this.#known.size >= MOST_REMEMBERED) this.#known.clear();
      this.#known.set(what, answer);
    }
    return answer;
  }
}
