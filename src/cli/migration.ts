/** Copies prompts with all their versions from another place into the registry, and compares. */

import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { isUnreachable, PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import type { Caller } from "../core/ports.ts";
import type { Held, OpenRemote } from "../library/remotes.ts";
import type { Adoption, Adoptions } from "../store/adoptions.ts";
import type { Registry } from "../store/registry.ts";
import {
  type Carried,
  carried,
  type Left,
  type Loaded,
  requireName,
  withinLimits,
} from "./carried.ts";
import { differences } from "./migrated.ts";

/** Requests at the same time. */
const CONCURRENT = 8;

/** Versions in one change: with their prompts they are all that is in memory, each up to a MiB. */
const BATCH = 25;

const TRIES = 5;
const FIRST_WAIT_MS = 250;
/** Who asks for more than that is not waited for. */
const LONGEST_WAIT_MS = 60_000;

/** Versions that cannot be reached, after which no more is asked for: fewer than are asked for at once. */
const MOST_UNREACHABLE = 5;

/** Characters of an address are bounded by nobody. */
const MOST_REASON = 400;

export interface MigrationParts {
  remote: OpenRemote;
  registry: Registry;
  adoptions: Adoptions;
  caller: Caller;
  /** Which prompts are meant. */
  selects: (name: string) => boolean;
  /** Nothing is written. */
  dryRun: boolean;
  onProgress: (text: string) => void;
}

export interface MigrationReport {
  source: string;
  project: string;
  dryRun: boolean;
  prompts: number;
  /** Versions that the place has, that were copied (or would be), and that were here before. */
  versions: { there: number; copied: number; here: number };
  /** What could not be carried over, or is not here as it is there. */
  left: Left[];
  /** Why not all was tried. */
  stopped?: PromptdError;
}

/** What became of one prompt. */
interface Copied {
  /** As the registry must have it now. */
  wanted: Carried;
  added: readonly number[];
  follows: boolean;
}

export class Migration {
  readonly #parts: MigrationParts;
  readonly #reason: string;
  readonly #requests = pLimit(CONCURRENT);
  readonly #left: Left[] = [];
  #unreachable = 0;
  #stopped: PromptdError | undefined;

  constructor(parts: MigrationParts) {
    this.#parts = parts;
    this.#reason = `migrated from ${parts.remote.identity}`.slice(0, MOST_REASON);
  }

  /** @throws not_found where none is meant of the prompts that there are, unavailable, unauthenticated, forbidden */
  async run(): Promise<MigrationReport> {
    const { remote, caller, selects, dryRun, onProgress } = this.#parts;
    const all = await patiently(() => remote.inventory());
    const held = all.filter(({ name }) => selects(name));
    if (held.length === 0 && all.length > 0) {
      throw new PromptdError("not_found", `no prompt of ${remote.identity} has such a name`);
    }
    const there = held.reduce((sum, { versions }) => sum + versions.length, 0);
    let done = 0;
    const copied = await pLimit(CONCURRENT).map(held, (prompt) =>
      this.#prompt(prompt, (count) => {
        done += count;
        onProgress(`${done} of ${there} versions ${dryRun ? "read" : "copied"}`);
      }),
    );
    const here = copied.filter((each) => each !== undefined);
    if (this.#stopped === undefined) await this.#compare(here);
    const added = here.reduce((sum, each) => sum + each.added.length, 0);
    const readable = here.reduce((sum, { wanted }) => sum + wanted.versions.length, 0);
    return {
      source: remote.identity,
      project: caller.project,
      dryRun,
      prompts: held.length,
      versions: { there, copied: added, here: readable - added },
      left: this.#left.sort(inOrder),
      ...(this.#stopped && { stopped: this.#stopped }),
    };
  }

  async #prompt(held: Held, onDone: (versions: number) => void): Promise<Copied | undefined> {
    const { name } = held;
    const wanted: Carried = { name, versions: [], labels: [], tags: [] };
    const added: number[] = [];
    let follows = true;
    try {
      requireName(name);
      const numbers = held.versions.toSorted((a, b) => a - b);
      for (let at = 0; at < numbers.length && this.#stopped === undefined; at += BATCH) {
        const batch = numbers.slice(at, at + BATCH);
        const loaded = (await Promise.all(batch.map((each) => this.#load(held, each)))).flat();
        if (this.#stopped !== undefined) break;
        const isLast = at + BATCH >= numbers.length;
        const adoption = this.#adoption(held, wanted, loaded, isLast);
        if (wanted.versions.length > 0) {
          const adopted = await this.#adopt(adoption);
          added.push(...adopted.added);
          follows = adopted.follows;
        }
        onDone(batch.length);
      }
      return { wanted, added, follows };
    } catch (thrown) {
      this.#leave(PromptdError.from(thrown), { name, what: "prompt" });
      return undefined;
    }
  }

  /** @param wanted gets what is carried over */
  #adoption(held: Held, wanted: Carried, loaded: readonly Loaded[], isLast: boolean): Adoption {
    const { name } = held;
    for (const { body: _, ...version } of loaded) wanted.versions.push(version);
    const adoption = { name, versions: loaded, reason: this.#reason };
    if (!isLast) return adoption;
    const beside = carried(held, wanted.versions);
    this.#left.push(...beside.left);
    wanted.labels = beside.labels;
    wanted.tags = beside.tags;
    return { ...adoption, beside };
  }

  #adopt(adoption: Adoption) {
    const { adoptions, caller, dryRun } = this.#parts;
    return dryRun ? adoptions.plan(caller, adoption) : adoptions.adopt(caller, adoption);
  }

  /** None of a version that cannot be carried over, which the report tells. */
  async #load({ name, type }: Held, version: number): Promise<Loaded[]> {
    const { remote } = this.#parts;
    try {
      const found = await this.#requests(async () => {
        if (this.#stopped !== undefined) throw this.#stopped;
        return patiently(() => remote.source.load(remote.caller, name, { version }));
      });
      const { loaded, left } = withinLimits(found);
      requireValidVersion({ ...loaded, name, labels: [], tags: [] });
      if (found.type !== type) {
        const message = `it is a ${found.type} prompt and the newest version a ${type} prompt: the type cannot change between versions`;
        throw new PromptdError("refused", message);
      }
      this.#left.push(...left);
      return [loaded];
    } catch (thrown) {
      this.#leave(PromptdError.from(thrown), { name, version, what: "version" });
      return [];
    }
  }

  /** Goes on after single failures, and stops where all would fail. */
  #leave(error: PromptdError, what: Pick<Left, "name" | "version" | "what">): void {
    if (this.#stopped !== undefined) return;
    if (isUnreachable(error)) this.#unreachable += 1;
    // Of a prompt: its project is not there.
    const ofAll =
      ["unauthenticated", "forbidden"].includes(error.code) ||
      (error.code === "not_found" && what.what === "prompt");
    if (ofAll || this.#unreachable >= MOST_UNREACHABLE) this.#stopped = error;
    this.#left.push({ ...what, why: error.message });
  }

  async #compare(copied: readonly Copied[]): Promise<void> {
    const { registry, adoptions, caller, dryRun, onProgress } = this.#parts;
    let done = 0;
    for (const { wanted, added, follows } of copied) {
      const notYet = dryRun ? { versions: added, beside: follows } : undefined;
      this.#left.push(...(await differences(registry, caller, wanted, notYet)));
      done += 1;
      onProgress(`${done} of ${copied.length} prompts compared`);
      if (dryRun) continue;
      const labelled = new Set(wanted.labels.map(({ version }) => version));
      for (const version of labelled) {
        const why = await adoptions.fault(caller, wanted.name, version);
        if (why !== undefined) {
          this.#left.push({ name: wanted.name, version, what: "composition", why });
        }
      }
    }
  }
}

/** Tries again what cannot be reached, when the place says so or after a while. */
async function patiently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await work();
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      const passing = isUnreachable(error) || error.code === "too_many";
      const waitMs = error.retryAfterMs ?? FIRST_WAIT_MS * 2 ** (tried - 1);
      if (!passing || tried === TRIES || waitMs > LONGEST_WAIT_MS) throw thrown;
      await sleep(waitMs);
    }
  }
}

function inOrder(a: Left, b: Left): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return (a.version ?? 0) - (b.version ?? 0);
}
