import pLimit from "p-limit";
import { PromptdError } from "../core/errors.ts";
import type { Observed, Sighting, SourceFollowing } from "../core/source-journal.ts";
import type { Place } from "./place.ts";
import { CONCURRENT } from "./requests.ts";

export interface FollowerParts {
  place: Place;
  following: SourceFollowing;
  /** Whose prompts live there. */
  project: string;
  /** How often changes are asked for, in milliseconds. */
  pollMs: number;
  /** Told when following begins to fail, and, without a fault, when it goes on. */
  onState?: (fault: unknown) => void;
  /** Told once the history may have changes of what was found; waited for. */
  onChanges?: () => Promise<void>;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** How often all prompts are looked through, because a list of changes does not tell of what is gone. */
const SWEEP_MS = 60_000;

/** How much older than the newest a change may be that is seen late: its time is given before it is committed. */
const OVERLAP_MS = 60_000;

/** After a failure it is tried again so soon, and then less often. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1000;

/** Longer than a webhook goes on sending an event again. */
const EVENTS_MS = 7 * 24 * 3_600_000;

/**
 * Finds out what was changed in a place by others. It compares with what was
 * seen last, which the database keeps, so that each edit is told once.
 */
export class Follower {
  readonly #parts: FollowerParts;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #tick: Promise<void> | undefined;
  #closed = false;
  /** Answers may have been given that what is found out has to correct. */
  #serving = false;
  #holding = false;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #retryMs = 0;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /**
   * Sees all prompts of a place that was never looked at. Before anything is
   * answered that is no change; where the place cannot be reached it waits.
   *
   * @throws unavailable for the database
   */
  async begin(): Promise<void> {
    const { following, project } = this.#parts;
    const { revision, watermark } = await following.standing(project);
    if (watermark !== undefined || this.#serving) return;
    await this.#sweep(revision, true).catch((fault) => this.#failed(fault));
  }

  /** Follows from now on. */
  start(): void {
    this.#serving = true;
    const begun = this.#sweptAt !== Number.NEGATIVE_INFINITY;
    this.#schedule(begun ? this.#parts.pollMs : 0);
  }

  /** Waits for what runs, and lets another process follow. */
  async close(): Promise<void> {
    const { following, project } = this.#parts;
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#tick;
    if (this.#holding) await following.release(project).catch(() => {});
  }

  /**
   * Takes in what a webhook tells. An event that is known changes nothing.
   *
   * @throws unavailable for the database; then it is not known
   */
  async heard(event: { id: string; name: string }): Promise<void> {
    const { place, following, project } = this.#parts;
    if (await following.knowsEvent(project, event.id)) return;
    const { revision: since } = await following.standing(project);
    const sighting = await place.sighting(event.name).catch(() => undefined);
    await this.#observe({
      since,
      reason: `changed in ${place.name}, which told by its webhook`,
      eventId: event.id,
      sightings: sighting === undefined ? [] : [sighting],
      doubtful: sighting === undefined ? [event.name] : [],
    });
  }

  #schedule(ms: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#tick = this.#attempt().then((next) => this.#schedule(next));
    }, ms).unref();
  }

  /** @returns after how many milliseconds to look again */
  async #attempt(): Promise<number> {
    const { pollMs } = this.#parts;
    try {
      await this.#follow();
      if (this.#retryMs > 0) this.#parts.onState?.(undefined);
      this.#retryMs = 0;
      return pollMs;
    } catch (thrown) {
      // What was missed meanwhile may be more than a list of changes tells.
      this.#sweptAt = Number.NEGATIVE_INFINITY;
      this.#failed(thrown);
      return Math.max(PromptdError.from(thrown).retryAfterMs ?? 0, this.#retryMs);
    }
  }

  #failed(fault: unknown): void {
    if (this.#closed) return;
    if (this.#retryMs === 0) this.#parts.onState?.(fault);
    this.#retryMs = Math.min(Math.max(this.#retryMs * 2, FIRST_RETRY_MS), LAST_RETRY_MS);
  }

  async #follow(): Promise<void> {
    const { following, project, pollMs } = this.#parts;
    const held = await following.hold(project, 3 * pollMs + LAST_RETRY_MS);
    this.#holding = held;
    if (!held) return;
    await following.recover(project);
    const { revision, watermark } = await following.standing(project);
    const sweeps = watermark === undefined || this.#now() - this.#sweptAt >= SWEEP_MS;
    if (sweeps) await this.#sweep(revision, false);
    else await this.#poll(revision, watermark);
  }

  /** What was changed lately. A list by time shows of a prompt only the versions that were. */
  async #poll(since: number, watermark: number): Promise<void> {
    const { place, following, project } = this.#parts;
    const changed = await place.changedSince(new Date(Math.max(watermark - OVERLAP_MS, 0)));
    const names = changed.map(({ name }) => name);
    const known = await following.sightings(project, names);
    const others = changed.filter(
      ({ name, updatedAt }) => known.get(name)?.updatedAt !== updatedAt,
    );
    const sightings = await this.#look(others.map(({ name }) => name));
    const newest = newestOf(watermark, changed);
    if (sightings.length === 0 && newest === watermark) return;
    const reason = `changed in ${place.name}`;
    await this.#observe({ sightings, since, reason, watermark: newest });
  }

  /** @param quietly where nothing can have been read yet that was changed since */
  async #sweep(since: number, quietly: boolean): Promise<void> {
    const { place, following, project } = this.#parts;
    const sweptAt = this.#now();
    const found = await place.sightings();
    const known = await following.sightings(project);
    const changed = found.filter(
      ({ name, fingerprint }) => known.get(name)?.fingerprint !== fingerprint,
    );
    const there = new Set(found.map(({ name }) => name));
    // A page that was turned while prompts came and went may have left one out.
    const missing = await this.#look([...known.keys()].filter((name) => !there.has(name)));
    await this.#observe({
      sightings: [...changed, ...missing],
      since,
      reason: `changed in ${place.name}`,
      watermark: newestOf(0, found),
      quietly,
    });
    await following.forgetEvents(project, this.#now() - EVENTS_MS);
    this.#sweptAt = sweptAt;
  }

  async #observe(observed: Observed): Promise<void> {
    const { following, project, onChanges } = this.#parts;
    await following.observe(project, observed);
    if (!observed.quietly) await onChanges?.().catch(() => {});
  }

  #look(names: readonly string[]): Promise<Sighting[]> {
    return pLimit(CONCURRENT).map(names, (name) => this.#parts.place.sighting(name));
  }
}

function newestOf(least: number, found: readonly Pick<Sighting, "updatedAt">[]): number {
  return found.reduce((newest, { updatedAt }) => Math.max(newest, updatedAt), least);
}
