import { describe, expect, it } from "vitest";
import { type Compared, type Direction, type PlanOptions, type Step, stepOf } from "./plan.ts";
import { type Sides, stateOf } from "./state.ts";

/** What may have become of a side since the base. */
const SIDES = ["unchanged", "edited", "new", "deleted"] as const;
type Became = (typeof SIDES)[number];

/** The sides of a cell; undefined where the two cannot be together: what is new had no base. */
function sidesOf(local: Became, remote: Became): Sides | undefined {
  const isNew = [local, remote].includes("new");
  const base = isNew ? undefined : "base";
  const hash = (became: Became, side: string) => {
    if (became === "edited" || became === "new") return side;
    return became === "unchanged" ? base : undefined;
  };
  if (isNew && [local, remote].includes("edited")) return undefined;
  return { base, local: hash(local, "here"), remote: hash(remote, "there") };
}

/** The outcome of each cell: state, pull, push, and both with force. Beside what is new, the other side is not there. */
const TABLE: Record<string, [string | undefined, string, string, string, string]> = {
  "unchanged unchanged": ["synced", "keep", "keep", "keep", "keep"],
  "unchanged edited": ["modified_remotely", "write", "keep", "write", "send"],
  "unchanged new": ["new_there", "write", "keep", "write", "keep"],
  "unchanged deleted": ["deleted_there", "refuse", "keep", "refuse", "send"],
  "edited unchanged": ["modified_locally", "keep", "send", "write", "send"],
  "edited edited": ["conflict", "refuse", "refuse", "write", "send"],
  "edited deleted": ["conflict", "refuse", "refuse", "refuse", "send"],
  "new unchanged": ["new_here", "keep", "send", "keep", "send"],
  "new new": ["conflict", "refuse", "refuse", "write", "send"],
  "new deleted": ["new_here", "keep", "send", "keep", "send"],
  "deleted unchanged": ["deleted_here", "keep", "refuse", "write", "refuse"],
  "deleted edited": ["conflict", "refuse", "refuse", "write", "refuse"],
  "deleted new": ["new_there", "write", "keep", "write", "keep"],
  "deleted deleted": [undefined, "forget", "forget", "forget", "forget"],
};

const CELLS = SIDES.flatMap((local) =>
  SIDES.map((remote) => ({ local, remote, sides: sidesOf(local, remote) })),
);

it.each(CELLS.filter(({ sides }) => sides !== undefined))(
  "$local here and $remote there is told and handled as the table says",
  ({ local, remote, sides }) => {
    const [state, pull, push, pullForced, pushForced] = TABLE[`${local} ${remote}`] ?? [];
    const act = (direction: Direction, options?: PlanOptions) =>
      stepOf(direction, sides as Sides, options).act;
    expect(stateOf(sides as Sides)).toBe(state);
    expect([act("pull"), act("push")]).toEqual([pull, push]);
    expect([act("pull", { force: true }), act("push", { force: true })]).toEqual([
      pullForced,
      pushForced,
    ]);
  },
);

const edit: Compared = { base: "base", local: "here", remote: "base" };
const conflict: Compared = { base: "base", local: "here", remote: "there" };
const goneHere: Compared = { base: "base", local: undefined, remote: "base" };
const goneThere: Compared = { base: "base", local: "base", remote: undefined };

describe("deletions", () => {
  it("go to the other side where that is asked for", () => {
    expect(stepOf("pull", goneThere, { delete: true })).toEqual({ act: "remove" });
    expect(stepOf("push", goneHere, { delete: true })).toEqual({ act: "withdraw" });
    const forced = { delete: true, force: true };
    const editedHere = { base: "base", local: "here", remote: undefined };
    const editedThere = { base: "base", local: undefined, remote: "there" };
    expect(stepOf("pull", editedHere, { delete: true }).act).toBe("refuse");
    expect(stepOf("pull", editedHere, forced)).toEqual({ act: "remove" });
    expect(stepOf("push", editedThere, forced)).toEqual({ act: "withdraw" });
  });
});

describe("where the remote side is right", () => {
  const authority = { authority: "remote" } as const;

  it("an edit that nobody has marked is taken back, and not sent", () => {
    expect(stepOf("pull", edit, authority)).toEqual({ act: "write" });
    expect(stepOf("push", edit, authority).act).toBe("refuse");
    expect(stepOf("pull", conflict, authority)).toEqual({ act: "write" });
  });

  it("one that was marked stays, and is sent", () => {
    const marked = { ...edit, edited: true };
    expect(stepOf("pull", marked, authority)).toEqual({ act: "keep" });
    expect(stepOf("push", marked, authority)).toEqual({ act: "send" });
    expect(stepOf("pull", marked, { ...authority, autoPush: true })).toEqual({ act: "send" });
    const markedConflict = stepOf("pull", { ...conflict, edited: true }, authority);
    expect(markedConflict.act).toBe("refuse");
  });
});

it("pushes over the other side's edits where the local side is right", () => {
  const authority = { authority: "local" } as const;
  const editedThere = { base: "base", local: "base", remote: "there" };
  for (const compared of [edit, conflict, editedThere, goneThere]) {
    expect(stepOf("push", compared, authority)).toEqual({ act: "send" });
  }
  expect(stepOf("pull", conflict, authority).act).toBe("refuse");
});

it.each<[string, Compared, NonNullable<PlanOptions["autoResolve"]>, Step["act"], Step["act"]]>([
  ["the local side", conflict, "local", "rebase", "send"],
  ["the remote side", conflict, "remote", "write", "write"],
  [
    "a newer file",
    { ...conflict, localChangedAt: 2, remoteChangedAt: 1 },
    "newest",
    "rebase",
    "send",
  ],
  [
    "a newer version",
    { ...conflict, localChangedAt: 1, remoteChangedAt: 2 },
    "newest",
    "write",
    "write",
  ],
])("lets %s win a conflict", (_, compared, autoResolve, pull, push) => {
  expect(stepOf("pull", compared, { autoResolve }).act).toBe(pull);
  expect(stepOf("push", compared, { autoResolve }).act).toBe(push);
});

it("notes what both sides came to hold alike", () => {
  const alike = { base: "base", local: "same", remote: "same" };
  expect(stepOf("pull", alike)).toEqual({ act: "agree" });
  expect(stepOf("push", { ...alike, base: undefined })).toEqual({ act: "agree" });
});
