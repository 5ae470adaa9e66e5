import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { caselessPath, Naming, type NamingRule } from "./naming.ts";

const kebab = new Naming("kebab");
const exact = new Naming("exact");

/** Short and alike, so that names meet each other's files. */
const segment = fc
  .array(fc.constantFrom("a", "B", "_", "-", "é", ".", " "), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join(""))
  .filter((segment) => !segment.startsWith("."));
const name = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const rule = fc.constantFrom<NamingRule>("kebab", "exact");
const ending = fc.constantFrom(".md", ".txt", ".prompt", ".json");

describe("Naming", () => {
  it.each([
    [kebab, "reasoning_agent.txt", "reasoning-agent"],
    [kebab, "support_team/first_reply.v2.prompt", "support-team/first-reply.v2"],
    [kebab, "pull_request/write_pull-request.md", "pull-request/write_pull-request"],
    [exact, "support_team/first-reply.md", "support_team/first-reply"],
  ])("turns a path into a name and back", (naming, path, name) => {
    expect(naming.nameOf(path)).toBe(name);
    const stem = path.slice(0, path.lastIndexOf("."));
    expect(naming.stemOf(name)).toEqual({ stem, readsBack: true });
  });

  it("says that a name is beyond the rule, and takes it back from a list", () => {
    expect(kebab.nameOf("reasoning-agent.md")).toBe("reasoning-agent");
    expect(kebab.stemOf("my_prompt")).toEqual({ stem: "my_prompt", readsBack: false });
    const remembering = kebab.remembering([["my_prompt.md", "my_prompt"]]);
    expect(remembering.nameOf("my_prompt.prompt")).toBe("my_prompt");
    expect(remembering.stemOf("my_prompt")).toEqual({ stem: "my_prompt", readsBack: true });
    // The rule's file is taken, the one of exactly that name is not.
    expect(remembering.stemOf("my-prompt")).toEqual({ stem: "my-prompt", readsBack: true });
  });

  it("lets the project file win over what is remembered", () => {
    const project = new Naming("kebab", [["new/Place.md", "agent"]]);
    const naming = project.remembering([
      ["old.md", "agent"],
      ["new/Place.md", "other"],
      ["kept.md", "kept_name"],
    ]);
    expect(naming.nameOf("old.md")).toBe("old");
    expect(naming.nameOf("new/Place.md")).toBe("agent");
    expect(naming.stemOf("agent").stem).toBe("new/Place");
    expect(naming.stemOf("other").stem).toBe("other");
    expect(naming.nameOf("kept.md")).toBe("kept_name");
  });

  it("refuses a name whose file is another prompt's", () => {
    const naming = new Naming("kebab", [["my_prompt.md", "my-prompt"]]);
    expect(() => naming.stemOf("my_prompt")).toThrow(
      'the file my_prompt is that of the prompt "my-prompt": name another',
    );
    expect(() => naming.stemOf("../escape")).toThrow("starts with a dot");
    const remembering = naming.remembering([["../escape.md", "harmless"]]);
    expect(() => remembering.stemOf("harmless")).toThrow("starts with a dot");
  });

  it("is undone by the way back, wherever it says so", () => {
    const listed = fc.uniqueArray(fc.tuple(name, ending, name), {
      maxLength: 4,
      comparator: (some, other) => some[0] === other[0] || some[2] === other[2],
    });
    fc.assert(
      fc.property(rule, listed, name, ending, (rule, listed, name, ending) => {
        const files = listed.map(([stem, ending, name]) => [stem + ending, name] as const);
        const naming = new Naming(rule, files);
        const isTaken = files.length > 0;
        try {
          const { stem, readsBack } = naming.stemOf(name);
          expect(naming.nameOf(stem + ending) === name).toBe(readsBack);
          if (!readsBack) expect(name).toContain("_");
          const later = naming.remembering([[stem + ending, name]]);
          expect(later.stemOf(name)).toEqual({ stem, readsBack: true });
          expect(later.nameOf(stem + ending)).toBe(name);
        } catch (thrown) {
          expect(isTaken).toBe(true);
          expect(String(thrown)).toContain("is that of the prompt");
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("leads from a file to its name and back to the file", () => {
    fc.assert(
      fc.property(rule, name, ending, (rule, stem, ending) => {
        const isKebab = (part: string) => part.includes("-") && !part.includes("_");
        fc.pre(rule === "exact" || !stem.split("/").some(isKebab));
        const naming = new Naming(rule);
        expect(naming.stemOf(naming.nameOf(stem + ending))).toEqual({ stem, readsBack: true });
      }),
    );
  });
});

it("knows which paths some file systems take for one", () => {
  expect(caselessPath("Support/Caf\u00e9.md")).toBe(caselessPath("support/CAFE\u0301.md"));
  expect(caselessPath("a.md")).not.toBe(caselessPath("b.md"));
});
