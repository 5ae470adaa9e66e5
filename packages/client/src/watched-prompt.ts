import type { BatchItem, GetPromptResponse } from "../../../gen/promptd/v1/prompt_service_pb.ts";
import type { Choice, Choices } from "../../../src/core/choice.ts";
import { isUnreachable, PromptdError } from "../../../src/core/errors.ts";
import type { Selector } from "../../../src/core/prompt.ts";
import {
  type Assignment,
  assign,
  type StandingRollout,
} from "../../../src/core/rollout/rollout.ts";
import { CONTROL } from "../../../src/core/rollout/table.ts";
import { answerOf, rolloutOf, type ToldAnswer, toldOf } from "./from-wire.ts";
import type { Freshness, Given } from "./prompt.ts";

/** What callers are given, by why. */
interface Side {
  split: Given;
  override: Given;
}

/** What is known of a prompt: its answer, or why there is none, and those of a rollout's arms. */
interface Known {
  /** Whoever is in no arm is given this. */
  plain: Given | PromptdError;
  rollout?: StandingRollout;
  /** By name, control too. One that cannot be answered with and has no control either: why. */
  sides: ReadonlyMap<string, Side | PromptdError>;
  /** Of the newest state of the prompt that was told. */
  revision: number;
}

/** How the stream that tells of a prompt fares. */
export interface Line {
  /** Nobody can say whether there were changes since. */
  readonly stale: boolean;
  /** When it last was said that all that was told still stands, on the clock of `performance`. */
  readonly vouchedAt: number;
}

const SILENT: Line = { stale: true, vouchedAt: Number.NEGATIVE_INFINITY };

/** Asks for what did not fit into a message. */
export type AskForArm = (name: string, target: Selector) => Promise<GetPromptResponse>;

/** A prompt that is watched: it answers for every user from what was told last. */
export class WatchedPrompt implements Freshness {
  readonly name: string;
  readonly selector: Selector;
  /** Answers where nothing is known. */
  readonly fallback: Given | undefined;
  /** Of the stream that has told of it last. */
  line = SILENT;
  readonly #choices: Choices;
  #known: Known | undefined;
  /** What was told last is no better than what was known before, since then. */
  #doubtfulSince: number | undefined;
  /** Written anew for each caller. */
  readonly #assignment: Assignment = { arm: CONTROL, bucket: undefined, reason: "label" };

  constructor(name: string, selector: Selector, choices: Choices, fallback?: Given) {
    this.name = name;
    this.selector = selector;
    this.fallback = fallback;
    this.#choices = choices;
  }

  /** Whether anything is known of it, if only that it is not there. */
  get isKnown(): boolean {
    return this.#known !== undefined;
  }

  /** Why there is no answer for anybody; undefined where there is one, or nothing is known. */
  get error(): PromptdError | undefined {
    const known = this.#known;
    if (known === undefined || !(known.plain instanceof PromptdError)) return undefined;
    return [...known.sides.values()].every((side) => side instanceof PromptdError)
      ? known.plain
      : undefined;
  }

  get stale(): boolean {
    return this.#doubtfulSince !== undefined || this.line.stale;
  }

  get ageMs(): number {
    const since = this.#doubtfulSince ?? this.line.vouchedAt;
    return Math.max(0, performance.now() - since);
  }

  /**
   * What a user is given now: the hot path.
   *
   * @param userId empty: nobody in particular
   * @returns why there is no answer, as a value; undefined where nothing is known
   */
  give(userId: string): Given | PromptdError | undefined {
    const known = this.#known;
    if (known?.rollout === undefined) return known?.plain;
    const { arm, reason } = assign(known.rollout, userId, this.#assignment);
    if (reason === "label") return known.plain;
    const side = known.sides.get(arm);
    return side instanceof PromptdError ? side : side?.[reason];
  }

  /** The bucket of the user whom `give` was asked for last. */
  get bucket(): number | undefined {
    return this.#known?.rollout && this.#assignment.bucket;
  }

  /**
   * Takes what was told. What stands in for an answer while the service cannot reach
   * where prompts live is taken where nothing better is known.
   *
   * @param signal aborted once another stream tells of it
   * @throws what asking throws; refused for a service that does not tell of rollouts
   */
  async take(item: BatchItem, ask: AskForArm, signal?: AbortSignal): Promise<void> {
    const told = await toldOf(item);
    // It is told later.
    if (told === undefined) return;
    if (item.rollout === undefined && isSplit(item)) throw TOO_OLD;
    const rollout = item.rollout && rolloutOf(item.rollout);
    const arms = await Promise.all(
      (rollout?.arms ?? []).map(
        async ({ target }, index) =>
          (await toldOf(item.rollout?.arms[index] ?? { result: { case: undefined } })) ??
          (await answerOf(await ask(this.name, target))),
      ),
    );
    if (signal?.aborted) return;
    if (this.#isBetterThan(told, arms)) {
      this.#doubtfulSince ??= Math.min(performance.now(), this.line.vouchedAt);
      return;
    }
    this.#known = this.#knownOf(told, rollout, arms);
    // An arm that cannot be reached is a matter of its users alone.
    const answers = [told, ...arms.filter((arm) => !(arm instanceof PromptdError))];
    this.#doubtfulSince = answers.map(doubtfulSince).find((since) => since !== undefined);
  }

  /** The service says that what it has told stands. */
  vouch(): void {
    this.#doubtfulSince = undefined;
  }

  /** Nothing else is known, and that ends waiting. */
  refuse(error: PromptdError): void {
    this.#known ??= { plain: error, sides: new Map(), revision: 0 };
  }

  /** Whether what is known is better than what the service tells for want of something. */
  #isBetterThan(
    told: ToldAnswer | PromptdError,
    arms: readonly (ToldAnswer | PromptdError)[],
  ): boolean {
    const known = this.#known;
    if (known === undefined || known.plain instanceof PromptdError) return false;
    if (told instanceof PromptdError) return isDoubtful(told);
    const { revision } = told.answer.version;
    if (told.stale && revision < known.revision) return true;
    const lacksArm = arms.some((arm) => arm instanceof PromptdError && isDoubtful(arm));
    return lacksArm && revision <= known.revision;
  }

  #knownOf(
    told: ToldAnswer | PromptdError,
    rollout: StandingRollout | undefined,
    arms: readonly (ToldAnswer | PromptdError)[],
  ): Known {
    const revision = told instanceof PromptdError ? 0 : told.answer.version.revision;
    if (rollout === undefined) {
      const plain =
        told instanceof PromptdError
          ? told
          : this.#given(this.#choices.plain(told.answer, this.selector));
      return { plain, sides: new Map(), revision };
    }
    const given = (
      arm: string,
      reason: Assignment["reason"],
      ofArm: ToldAnswer | PromptdError,
    ): Given | PromptdError => {
      const resolved = !(ofArm instanceof PromptdError);
      const by = resolved ? ofArm : told;
      if (by instanceof PromptdError) return by;
      const choice = this.#choices.split(by.answer, rollout, { arm, reason }, resolved);
      return this.#given(choice, isUnreachable(ofArm));
    };
    const sides = new Map<string, Side | PromptdError>();
    for (const [index, { name }] of [...rollout.arms, { name: CONTROL }].entries()) {
      const ofArm = arms[index] ?? told;
      const split = given(name, "split", ofArm);
      const override = given(name, "override", ofArm);
      const isSide = !(split instanceof PromptdError || override instanceof PromptdError);
      sides.set(name, isSide ? { split, override } : (split as PromptdError));
    }
    return { plain: given(CONTROL, "label", told), rollout, sides, revision };
  }

  #given(choice: Choice, isStandIn = false): Given {
    return givenOf(choice, this, isStandIn);
  }
}

/** @param isStandIn for an arm that could not be reached */
export function givenOf(choice: Choice, freshness: Freshness, isStandIn: boolean): Given {
  const caller = { project: "", actor: "" };
  const resolved = { choice, bucket: undefined, tier: "memory", stale: false, ageMs: 0 } as const;
  return { choice, freshness, isStandIn, counted: { caller, resolved } };
}

const TOO_OLD = new PromptdError(
  "refused",
  "this promptd does not tell of rollouts: it is older than the client, and has to be updated first",
);

/** Whether a rollout splits those who ask for it. */
function isSplit({ result }: BatchItem): boolean {
  return result.case === "response" && (result.value.resolution?.rolloutRevision ?? 0n) > 0n;
}

/** Since when it is not known whether it stands, on the clock of `performance`. */
function doubtfulSince(told: ToldAnswer | PromptdError): number | undefined {
  const now = performance.now();
  if (told instanceof PromptdError) return isDoubtful(told) ? now : undefined;
  return told.stale ? now - told.ageMs : undefined;
}

/** Whether it says nothing of the prompt itself. */
function isDoubtful({ code }: PromptdError): boolean {
  return code !== "not_found" && code !== "refused";
}
