import { describe, expect, it } from "vitest";
import { type PromptPlan, planPrompt, planPrune, type Release } from "./plan.ts";
import { type Held, type HeldPrompt, type HeldRollout, rolloutKey } from "./state.ts";
import type { Wanted } from "./wanted.ts";

/** What a version holds, and its labels. */
type Version = [content: string, ...labels: string[]];

interface Case {
  /** What the file holds, and its labels. */
  file: Version;
  tags?: string[];
  /** Versions from 1; none: there is no such prompt. */
  there?: Version[];
  standingTags?: string[];
  rollout?: Partial<HeldRollout>;
  approval?: string[];
  pending?: { label: string; fromVersion: number; toVersion: number };
  release?: Release;
}

const CANARY_2 = { arms: [{ name: "canary", target: { version: 2 }, weight: 1000 }] };
const THEIRS = { arms: [{ name: "long", target: { label: "staging" }, weight: 500 }] };
const RELEASED = { release: { canary: 1000 } };

function wantedOf({ file: [template, ...labels], tags = [] }: Case): Wanted {
  const body = { type: "text", format: "mustache", template, config: {} } as const;
  return { path: "a.md", prompt: { name: "a", body, tags }, contentHash: template, labels };
}

function heldOf(of: Case): Held {
  const { there, standingTags = [], rollout, approval = [], pending } = of;
  const prompt: HeldPrompt = {
    type: "text",
    revision: 7,
    tags: standingTags,
    versions: (there ?? [])
      .map(([contentHash, ...labels], at) => ({ version: at + 1, contentHash, labels }))
      .reverse(),
  };
  const full = { revision: 5, state: "running", arms: [], ...rollout } as const;
  return {
    prompts: new Map(there && [["a", prompt]]),
    rollouts: new Map(rollout && [[rolloutKey("a", "production"), full]]),
    approval: new Set(approval),
    pending: pending ? [{ id: "id", name: "a", moves: [pending] }] : [],
  };
}

const planned = (of: Case) => planPrompt(wantedOf(of), heldOf(of), of.release ?? {});

const production = (how: string, from: number, to?: number, more = {}) => ({
  ...{ label: "production", how, from, to },
  ...more,
});

describe("the version", () => {
  it.each<[string, Case, number | undefined]>([
    ["is made of a new prompt", { file: ["A"] }, undefined],
    ["is made of another content", { file: ["B"], there: [["A", "production"]] }, undefined],
    ["is the newest one", { file: ["A", "production"], there: [["A", "production"], ["A"]] }, 2],
    [
      "is the label's beside a draft",
      { file: ["A", "production"], there: [["A", "production"], ["A"], ["B"]] },
      1,
    ],
    ["is the newest of a revert", { file: ["A", "x"], there: [["A"], ["A"], ["B", "x"]] }, 2],
    ["is the newest without a label", { file: ["A"], there: [["A"], ["A"], ["B"]] }, 2],
  ])("%s", (_, of, version) => {
    const plan = planned(of);
    expect([plan.version, plan.makes]).toEqual([version, version === undefined]);
  });
});

describe("a label", () => {
  const two: Version[] = [["A", "production"], ["B"]];
  it.each<[string, Case, unknown[]]>([
    ["is put with a first version", { file: ["A", "production"] }, [production("put", 0)]],
    [
      "is put where it is not there",
      { file: ["A", "production"], there: [["A"]] },
      [production("put", 0, 1)],
    ],
    ["stands", { file: ["A", "production"], there: two }, []],
    ["moves", { file: ["B", "production"], there: two }, [production("move", 1, 2)]],
    [
      "moves to what is made",
      { file: ["C", "production"], there: two },
      [production("move", 1, undefined)],
    ],
    [
      "that is a release stands at the same content",
      { file: ["A", "v1.0.0"], there: [["A", "v1.0.0"], ["A"]] },
      [],
    ],
    [
      "that needs approval is asked for",
      { file: ["B", "production"], there: two, approval: ["production"] },
      [production("request", 1, 2)],
    ],
    [
      "that is not there is asked for too",
      { file: ["A", "production"], approval: ["production"] },
      [production("request", 0)],
    ],
    [
      "that was asked for waits",
      {
        file: ["B", "production"],
        there: two,
        approval: ["production"],
        pending: { label: "production", fromVersion: 1, toVersion: 2 },
      },
      [production("wait", 1, 2, { pending: "id" })],
    ],
    [
      "that was asked for from elsewhere does not",
      {
        file: ["B", "production"],
        there: two,
        approval: ["production"],
        pending: { label: "production", fromVersion: 3, toVersion: 2 },
      },
      [production("request", 1, 2)],
    ],
    [
      "begins a rollout",
      { file: ["B", "production"], there: two, ...RELEASED },
      [production("start", 1, 2, { rollout: 0, weight: 1000 })],
    ],
    [
      "begins one anew",
      {
        file: ["B", "production"],
        there: two,
        rollout: { ...THEIRS, state: "ended" },
        ...RELEASED,
      },
      [production("start", 1, 2, { rollout: 5, weight: 1000 })],
    ],
    [
      "changes its rollout",
      { file: ["B", "production"], there: two, rollout: CANARY_2, release: { canary: 2500 } },
      [
        production("change", 1, 2, {
          rollout: 5,
          weight: 2500,
          was: { version: 2, weight: 1000 },
        }),
      ],
    ],
    [
      "promotes it",
      { file: ["B", "production"], there: two, rollout: CANARY_2 },
      [production("promote", 1, 2, { rollout: 5 })],
    ],
    [
      "promotes none that needs approval",
      { file: ["B", "production"], there: two, rollout: CANARY_2, approval: ["production"] },
      [production("request", 1, 2)],
    ],
    [
      "aborts it once the file says what it holds",
      { file: ["A", "production"], there: two, rollout: CANARY_2, ...RELEASED },
      [production("abort", 1, 1, { rollout: 5 })],
    ],
    [
      "moves among versions of one content without a rollout",
      { file: ["A", "production"], there: [["A", "production"], ["A"]], ...RELEASED },
      [production("move", 1, 2)],
    ],
  ])("%s", (_, of, steps) => {
    const plan = planned(of);
    expect([plan.steps, plan.errors]).toEqual([steps, []]);
  });

  it.each<[string, Case, string]>([
    [
      "release of another content",
      { file: ["B", "v1.0.0"], there: [["A", "v1.0.0"]] },
      "v1.0.0 is version 1, whose content is another one: a release keeps its number, so name the next one in the file",
    ],
    [
      "canary beside another rollout",
      { file: ["B", "production"], there: two, rollout: THEIRS, ...RELEASED },
      "a rollout of production is under way (long 5% of label staging): promote or abort it first, or deploy without --canary",
    ],
    [
      "canary of a paused one",
      {
        file: ["B", "production"],
        there: two,
        rollout: { ...CANARY_2, state: "paused" },
        release: { canary: 5000 },
      },
      "the rollout of production is paused (canary 10% of version 2) and takes no other weight: resume or abort it first",
    ],
    [
      "canary that needs approval",
      { file: ["B", "production"], there: two, approval: ["production"], ...RELEASED },
      "production needs the approval of a second key, for which a rollout cannot wait: deploy without --canary",
    ],
    [
      "canary of another label",
      {
        file: ["B", "production", "staging"],
        there: [["A", "production", "staging"], ["B"]],
        ...RELEASED,
      },
      "staging would move too, and --canary is for production alone: name the label by --label",
    ],
  ])("is an error: a %s", (_, of, error) => {
    expect(planned(of).errors).toEqual([error]);
  });

  it.each<[string, Case, string]>([
    [
      "a rollout of somebody else",
      { file: ["A", "production"], there: two, rollout: THEIRS },
      "the rollout of production (long 5% of label staging) is left as it is",
    ],
    [
      "a canary that is there",
      { file: ["B", "production"], there: two, rollout: CANARY_2, ...RELEASED },
      "the rollout of production (canary 10% of version 2) is there already",
    ],
  ])("leaves and tells of %s", (_, of, note) => {
    expect(planned(of)).toMatchObject({ steps: [], errors: [], notes: [note] });
  });

  it.each<[string, HeldRollout["arms"]]>([
    ["more arms", [...CANARY_2.arms, ...THEIRS.arms]],
    ["an arm at a label", [{ name: "canary", target: { label: "staging" }, weight: 1000 }]],
    ["an arm of another name", [{ name: "canary2", target: { version: 2 }, weight: 1000 }]],
  ])("moves and aborts a rollout with %s, which is no deploy's", (_, arms) => {
    const plan = planned({ file: ["B", "production"], there: two, rollout: { arms } });
    expect(plan.steps).toEqual([production("move", 1, 2)]);
    expect(plan.notes).toEqual([expect.stringMatching(/^that aborts the rollout of production/)]);
  });
});

it.each<[string, Case, PromptPlan["tags"]]>([
  ["none of the file leave those that are there", { file: ["A"], there: [["A"]] }, undefined],
  [
    "in another order are the same",
    { file: ["A"], there: [["A"]], tags: ["x", "y", "x"], standingTags: ["y", "x"] },
    undefined,
  ],
  [
    "that differ are set",
    { file: ["A"], there: [["A"]], tags: ["x"], standingTags: ["x", "y"] },
    { from: ["x", "y"], to: ["x"] },
  ],
  ["go with a first version", { file: ["A"], tags: ["x"] }, { from: [], to: ["x"] }],
])("tags: %s", (_, of, tags) => {
  expect(planned(of).tags).toEqual(tags);
});

it.each<[string, Omit<Case, "file">, unknown[], string[]]>([
  ["loses its label", { there: [["A", "production", "x"]] }, [production("move", 1, 0)], []],
  [
    "loses the one that is named",
    { there: [["A", "production", "x"]], release: { label: "x" } },
    [{ label: "x", how: "move", from: 1, to: 0 }],
    [],
  ],
  ["has lost it already", { there: [["A"]] }, [], []],
  [
    "asks for approval",
    { there: [["A", "production"]], approval: ["production"] },
    [production("request", 1, 0)],
    [],
  ],
  [
    "ends its rollout",
    { there: [["A", "production"], ["B"]], rollout: CANARY_2 },
    [production("move", 1, 0)],
    ["that aborts the rollout of production (canary 10% of version 2)"],
  ],
])("a prompt without a file %s", (_, of, steps, notes) => {
  const plan = planPrune("a", heldOf({ file: [""], ...of }), of.release ?? {});
  expect([plan.steps, plan.notes]).toEqual([steps, notes]);
});
