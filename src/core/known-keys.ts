import type { ChangeFeed, Circuit, LastKnownKeys } from "./cache-ports.ts";
import { isUnreachable } from "./errors.ts";
import type { Key } from "./keys.ts";
import type { Caller, KeyLookup } from "./ports.ts";

/** Answers that are remembered; when there are more, all are asked for again. */
const MOST_REMEMBERED = 10_000;

/** Whether there is any key. */
const ANY = "any";

/**
 * Remembers which keys and projects there are, so that calls do not wait for the
 * database. What is not there is asked for each time. A change of any key drops
 * what is remembered of all.
 *
 * What was last known answers while the database cannot be reached, also after a
 * restart. A key whose change was heard of is not in it, and none is where
 * changes may have been missed.
 */
export class KnownKeys implements KeyLookup {
  readonly #keys: KeyLookup;
  readonly #known = new Map<string, unknown>();
  /** Counts up with each drop: what was read before is not remembered after it. */
  #drops = 0;
  readonly #lastKnown: LastKnownKeys;
  readonly #circuit: Circuit;
  /** Whether there is any key, which is asked at the end of this turn. */
  #asking: Promise<boolean> | undefined;

  /** @param circuit of the database that holds them */
  constructor(keys: KeyLookup, feed: ChangeFeed, lastKnown: LastKnownKeys, circuit: Circuit) {
    this.#keys = keys;
    this.#lastKnown = lastKnown;
    this.#circuit = circuit;
    const drop = () => {
      this.#known.clear();
      this.#drops++;
    };
    feed.subscribe({
      changed: ({ kind, name }) => {
        if (!kind.startsWith("key_")) return;
        drop();
        lastKnown.forgetKey(name);
        lastKnown.put(ANY, true);
      },
      lost: () => {
        drop();
        const any = lastKnown.get(ANY);
        lastKnown.clear();
        // Who has been asked for a key once is asked for one as long as nobody can say otherwise.
        if (any === true) lastKnown.put(ANY, true);
      },
    });
  }

  /** Asked once for all calls that come in a turn of the event loop, at its end: so it sees every key made before they came. */
  anyKey(): Promise<boolean> {
    this.#asking ??= new Promise((resolve) => setImmediate(resolve)).then(async () => {
      this.#asking = undefined;
      return (await this.#remembered(ANY, () => this.#keys.anyKey())) === true;
    });
    return this.#asking;
  }

  async hasProject(id: string): Promise<boolean> {
    return (await this.#remembered(`project ${id}`, () => this.#keys.hasProject(id))) === true;
  }

  peekKey(secretHash: string): Key | undefined {
    const found = this.#known.get(`secret ${secretHash}`) as { key: Key } | undefined;
    return found?.key;
  }

  findKey(secretHash: string) {
    return this.#remembered(
      `secret ${secretHash}`,
      () => this.#keys.findKey(secretHash),
      (found) => found?.key.id,
    );
  }

  findCertificateKey(subject: string): Promise<Key | undefined> {
    return this.#remembered(
      `subject ${subject}`,
      () => this.#keys.findCertificateKey(subject),
      (key) => key?.id,
    );
  }

  noteUse(caller: Caller, id: string, at: Date): Promise<void> {
    return this.#keys.noteUse(caller, id, at);
  }

  async #remembered<Answer>(
    question: string,
    ask: () => Promise<Answer>,
    keyId: (answer: Answer) => string | undefined = () => undefined,
  ): Promise<Answer> {
    const known = this.#known.get(question);
    if (known !== undefined) return known as Answer;
    const drops = this.#drops;
    let answer: Answer;
    try {
      answer = await this.#circuit.run(ask);
    } catch (thrown) {
      if (!isUnreachable(thrown)) throw thrown;
      const last = this.#lastKnown.get(question);
      if (last === undefined) throw thrown;
      return last as Answer;
    }
    // What was read before a change is not remembered after it.
    if (drops !== this.#drops) return answer;
    if (answer || question === ANY) this.#lastKnown.put(question, answer, keyId(answer));
    else this.#lastKnown.remove(question);
    if (answer) {
      if (this.#known.size >= MOST_REMEMBERED) this.#known.clear();
      this.#known.set(question, answer);
    }
    return answer;
  }
}
