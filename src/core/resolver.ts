import { Answer, type Part } from "./answer.ts";
import {
  type CachedPrompt,
  type MemoryCache,
  type PromptKey,
  type Tier,
  type TierObserver,
  UNOBSERVED,
} from "./cache-ports.ts";
import { type Choice, Choices } from "./choice.ts";
import { compose } from "./composition.ts";
import { isUnreachable, PromptdError } from "./errors.ts";
import type { Caller } from "./ports.ts";
import { FALLBACK_VERSION, type Selector } from "./prompt.ts";
import type { KnownRollouts } from "./rollout/known-rollouts.ts";
import { type Assignment, assign, type StandingRollout, targetOf } from "./rollout/rollout.ts";
import { CONTROL } from "./rollout/table.ts";
import type { Found, Tiers } from "./tiers.ts";

/** What GetPrompt and Compile ask: which version of which prompt. */
export interface Question {
  name: string;
  selector: Selector;
  /** Whom rollouts split; empty or absent: nobody in particular. */
  userId?: string;
  /** Leaves composition tags as they were written. */
  raw?: boolean;
}

/** A choice, and where its answer came from this time. */
export interface Resolved {
  choice: Choice;
  /** The user's, of a rollout that has hashed it. */
  bucket: number | undefined;
  /** The last tier that had to be asked for any part of it. */
  tier: Tier;
  /** Nobody can say whether some part of it has changed. */
  stale: boolean;
  /** Since the source was asked for the oldest part of it, in milliseconds. */
  ageMs: number;
}

/** An answer, and where its parts were found. */
interface Drawn {
  answer: Answer;
  found: readonly Found[];
}

/** The answers that one prompt gives. */
interface Answers {
  composed?: Answer;
  raw?: Answer;
}

export interface ResolverParts {
  tiers: Tiers;
  rollouts: Pick<KnownRollouts, "of" | "settling" | "isDoubtful">;
  /** Told what answers weigh that are kept beside a prompt. */
  memory: Pick<MemoryCache, "weigh">;
  /** Milliseconds since 1970. */
  now?: () => number;
  observer?: Pick<TierObserver, "answered" | "armUnresolved">;
}

/** Answers which version a caller gets now, with what it includes. */
export class Resolver {
  readonly #tiers: Tiers;
  readonly #rollouts: ResolverParts["rollouts"];
  readonly #memory: ResolverParts["memory"];
  readonly #now: () => number;
  readonly #observer: NonNullable<ResolverParts["observer"]>;
  readonly #answers = new WeakMap<CachedPrompt, Answers>();
  readonly #choices = new Choices();
  /** Written anew for each caller of a rollout. */
  readonly #assignment: Assignment = { arm: CONTROL, bucket: undefined, reason: "label" };

  constructor({ tiers, rollouts, memory, now = Date.now, observer = UNOBSERVED }: ResolverParts) {
    this.#tiers = tiers;
    this.#rollouts = rollouts;
    this.#memory = memory;
    this.#now = now;
    this.#observer = observer;
  }

  /** What memory answers at once, as it does for most; undefined where anything has to be waited for. */
  peek({ project }: Caller, { name, selector, userId = "", raw }: Question): Resolved | undefined {
    const key = { project, name, selector };
    let rollout: StandingRollout | undefined;
    if ("label" in selector) {
      if (this.#rollouts.settling(key) !== undefined) return undefined;
      rollout = this.#rollouts.of(key, selector.label);
    }
    if (rollout === undefined) {
      const drawn = this.#peek(key, raw);
      if (drawn === undefined) return undefined;
      return this.#resolved(this.#choices.plain(drawn.answer, selector), undefined, drawn, key);
    }
    const { arm, bucket, reason } = assign(rollout, userId, this.#assignment);
    const isControl = arm === CONTROL;
    const drawn = this.#peek(isControl ? key : { ...key, selector: targetOf(rollout, arm) }, raw);
    if (drawn === undefined || !(isControl || answersArm(drawn.answer, raw))) return undefined;
    const choice = this.#choices.split(drawn.answer, rollout, { arm, reason }, true);
    return this.#resolved(choice, bucket, drawn, key);
  }

  /** @throws not_found, refused (composition), unavailable */
  async resolve(caller: Caller, question: Question): Promise<Resolved> {
    const known = this.peek(caller, question);
    if (known !== undefined) return known;
    const { name, selector } = question;
    const key = { project: caller.project, name, selector };
    if ("label" in selector) {
      const settling = this.#rollouts.settling(key);
      if (settling !== undefined) await settling;
      const rollout = this.#rollouts.of(key, selector.label);
      if (rollout !== undefined) return this.#split(caller, question, key, rollout);
    }
    const drawn = await this.#draw(caller, key, question.raw);
    return this.#resolved(this.#choices.plain(drawn.answer, selector), undefined, drawn, key);
  }

  /** What splits the callers of the label that is asked for. */
  async rolloutOf(
    { project }: Caller,
    { name, selector }: Question,
  ): Promise<StandingRollout | undefined> {
    if (!("label" in selector)) return undefined;
    const key = { project, name };
    await this.#rollouts.settling(key);
    return this.#rollouts.of(key, selector.label);
  }

  /**
   * What the callers of an arm are given, whoever they are.
   *
   * @param rollout of the label that is asked for
   * @throws as `resolve` does; where it is the arm's error, they are given control's
   */
  async resolveArm(
    caller: Caller,
    { name, selector, raw }: Question,
    rollout: StandingRollout,
    arm: string,
  ): Promise<Resolved> {
    const key = { project: caller.project, name, selector };
    const isControl = arm === CONTROL;
    const drawn = isControl
      ? await this.#draw(caller, key, raw)
      : await this.#drawArm(caller, { ...key, selector: targetOf(rollout, arm) }, raw);
    if (drawn instanceof PromptdError) throw drawn;
    const reason = isControl ? "label" : "split";
    const choice = this.#choices.split(drawn.answer, rollout, { arm, reason }, true);
    return this.#resolved(choice, undefined, drawn, key);
  }

  async #split(
    caller: Caller,
    { userId = "", raw }: Question,
    key: PromptKey,
    rollout: StandingRollout,
  ): Promise<Resolved> {
    const { arm, bucket, reason } = assign(rollout, userId, this.#assignment);
    const target = { ...key, selector: targetOf(rollout, arm) };
    const ofArm = arm === CONTROL ? undefined : await this.#drawArm(caller, target, raw);
    const unresolved = ofArm instanceof PromptdError;
    if (unresolved) this.#observer.armUnresolved(rollout, arm, ofArm);
    const drawn = ofArm === undefined || unresolved ? await this.#draw(caller, key, raw) : ofArm;
    const choice = this.#choices.split(drawn.answer, rollout, { arm, reason }, !unresolved);
    return this.#resolved(choice, bucket, drawn, key, unresolved && isUnreachable(ofArm));
  }

  /** An error that control answers instead of, as a value. */
  async #drawArm(caller: Caller, key: PromptKey, raw?: boolean): Promise<Drawn | PromptdError> {
    try {
      const drawn = await this.#draw(caller, key, raw);
      // Parsed for Compile, and so that GetPrompt gives the same arm.
      if (!raw) void drawn.answer.template;
      if (drawn.answer.version.version !== FALLBACK_VERSION) return drawn;
      return new PromptdError("unavailable", "nothing but a fallback file answers");
    } catch (thrown) {
      const error = PromptdError.from(thrown);
      const isOfArm = ["not_found", "refused"].includes(error.code) || isUnreachable(error);
      if (!isOfArm || caller.signal?.aborted) throw error;
      return error;
    }
  }

  /** What memory has, where nothing is included. */
  #peek(key: PromptKey, raw = false): Drawn | undefined {
    const root = this.#tiers.peek(key);
    if (root === undefined) return undefined;
    const { raw: plain, composed } = this.#answersOf(root.prompt);
    const answer = raw ? plain : composed;
    return answer?.parts.length === 0 ? { answer, found: [root] } : undefined;
  }

  async #draw(caller: Caller, key: PromptKey, raw = false): Promise<Drawn> {
    const root = this.#tiers.peek(key) ?? (await this.#tiers.find(key, caller.signal));
    const answers = this.#answersOf(root.prompt);
    if (raw) {
      answers.raw ??= new Answer(root.prompt.version, [], []);
      return { answer: answers.raw, found: [root] };
    }
    const known = answers.composed;
    if (known !== undefined) {
      const parts = await this.#find(known.parts, caller).catch(absent);
      if (parts?.every(({ prompt }, index) => prompt === known.parts[index]?.prompt)) {
        return { answer: known, found: [root, ...parts] };
      }
    }
    return this.#compose(caller, key, root);
  }

  #find(parts: readonly Part[], { signal }: Caller): Promise<Found[]> {
    return Promise.all(
      parts.map(({ key }) => this.#tiers.peek(key) ?? this.#tiers.find(key, signal)),
    );
  }

  /** What is included is asked for by its pointer, and split by no rollout. */
  async #compose(caller: Caller, key: PromptKey, root: Found): Promise<Drawn> {
    const { version } = root.prompt;
    const parts: Part[] = [];
    const found = [root];
    const { body, components } = await compose(version, async (name, selector) => {
      const part = { project: key.project, name, selector };
      const child = this.#tiers.peek(part) ?? (await this.#tiers.find(part, caller.signal));
      parts.push({ key: part, prompt: child.prompt });
      found.push(child);
      return child.prompt.version;
    });
    const composed = body === version.body ? version : { ...version, body };
    const answer = new Answer(composed, components, parts);
    this.#answersOf(root.prompt).composed = answer;
    if (parts.length > 0) this.#memory.weigh(key, root.prompt, composedBytes(answer));
    return { answer, found };
  }

  #answersOf(prompt: CachedPrompt): Answers {
    let answers = this.#answers.get(prompt);
    if (answers === undefined) {
      answers = {};
      this.#answers.set(prompt, answers);
    }
    return answers;
  }

  /** @param isStandIn nobody can say whether something else would be the answer */
  #resolved(
    choice: Choice,
    bucket: number | undefined,
    { found }: Drawn,
    key: PromptKey,
    isStandIn = false,
  ): Resolved {
    let tier: Tier = "memory";
    let stale = isStandIn || ("label" in key.selector && this.#rollouts.isDoubtful(key));
    let readAt = Number.POSITIVE_INFINITY;
    for (const each of found) {
      if (each.tier !== "memory") tier = each.tier;
      if (each.stale) stale = true;
      if (each.prompt.readAt < readAt) readAt = each.prompt.readAt;
    }
    this.#observer.answered(tier, stale);
    return { choice, bucket, tier, stale, ageMs: Math.max(0, this.#now() - readAt) };
  }
}

/** An arm's answer is parsed before it is given, and no fallback file. */
function answersArm({ version, isParsed }: Answer, raw = false): boolean {
  return (raw || isParsed) && version.version !== FALLBACK_VERSION;
}

/** What includes a part that is gone is composed anew, which tells so. */
function absent(thrown: unknown): undefined {
  if (!(thrown instanceof PromptdError) || thrown.code !== "not_found") throw thrown;
}

/** What a composed answer holds beside its root: the text, encoded, and in segments. */
function composedBytes({ version }: Answer): number {
  const text = JSON.stringify(version.body);
  return 4 * text.length + 128 * text.split("{").length;
}
