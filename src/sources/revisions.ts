import type { SourceJournal } from "../core/source-journal.ts";
import { within } from "../core/within.ts";

/** How long a read waits for its revision, and after a failure does not ask for one. */
const REVISION_MS = 1000;

/** Revisions of prompts that live elsewhere. Reads go on without the database, which knows them: a prompt has 0 then. */
export class Revisions {
  readonly #journal: SourceJournal;
  readonly #now: () => number;
  #withoutUntil = 0;

  /** @param now milliseconds since 1970 */
  constructor(journal: SourceJournal, now: () => number) {
    this.#journal = journal;
    this.#now = now;
  }

  async of(project: string, name: string): Promise<number> {
    return (await this.ofAll(project, [name])).get(name) ?? 0;
  }

  /** None of a prompt whose revision is 0. */
  async ofAll(project: string, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (this.#now() < this.#withoutUntil) return new Map();
    const asked = this.#journal.revisions(project, names).catch(() => undefined);
    const revisions = await within(REVISION_MS, asked);
    if (revisions !== undefined) return revisions;
    this.#withoutUntil = this.#now() + REVISION_MS;
    return new Map();
  }
}
