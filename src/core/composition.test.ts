import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Component,
  compose,
  compositionTags,
  type LoadComponent,
  MAX_COMPONENTS,
  MAX_COMPOSITION_DEPTH,
} from "./composition.ts";
import { PromptdError } from "./errors.ts";
import type { ChatItem, PromptBody, TemplateFormat } from "./prompt.ts";

const MIB = 1024 * 1024;

const tag = (name: string, version = 1) => `@@@langfusePrompt:name=${name}|version=${version}@@@`;
const labelTag = (name: string, label = "production") =>
  `@@@langfusePrompt:name=${name}|label=${label}@@@`;

function text(template: string, format: TemplateFormat = "mustache"): PromptBody {
  return { type: "text", format, template, config: {} };
}

function chat(...template: ChatItem[]): PromptBody {
  return { type: "chat", format: "mustache", template, config: { model: "m" } };
}

const message = (role: string, content: string): ChatItem => ({
  type: "chatmessage",
  role,
  content,
});

/** Prompts by `name v1`; a label stands for the version behind it: {"a production": 2}. */
function library(bodies: Record<string, PromptBody | string>, labels: Record<string, number> = {}) {
  const loads: string[] = [];
  const load: LoadComponent = async (name, selector) => {
    const version = "version" in selector ? selector.version : labels[`${name} ${selector.label}`];
    loads.push("version" in selector ? `${name} v${version}` : `${name} ${selector.label}`);
    const body = bodies[`${name} v${version}`];
    if (body === undefined || version === undefined) throw new PromptdError("not_found", "no");
    return {
      ...component(name, version),
      body: typeof body === "string" ? text(body) : body,
    };
  };
  return { load, loads };
}

const component = (name: string, version = 1): Component => ({
  name,
  version,
  contentHash: `hash of ${name} v${version}`,
});

async function composeText(template: string, { load }: { load: LoadComponent }): Promise<string> {
  const { body } = await compose({ name: "root", version: 1, body: text(template) }, load);
  return body.template as string;
}

async function refusal(body: PromptBody, load: LoadComponent): Promise<PromptdError> {
  const error = await compose({ name: "root", version: 1, body }, load).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(PromptdError);
  expect(error).toMatchObject({ code: "refused" });
  return error;
}

describe("a tag", () => {
  test.each([
    [tag("a"), "a", { version: 1 }],
    [tag("a", 4294967295), "a", { version: 4294967295 }],
    [tag("support/triage de", 12), "support/triage de", { version: 12 }],
    [tag('é"=.*$&'), 'é"=.*$&', { version: 1 }],
    [tag("n".repeat(512)), "n".repeat(512), { version: 1 }],
    [labelTag("a"), "a", { label: "production" }],
    [labelTag("a", "3"), "a", { label: "3" }],
    [labelTag("a", "Not One"), "a", { label: "Not One" }],
  ])("%s", (raw, name, selector) => {
    expect(compositionTags(text(raw))).toMatchObject([{ raw, name, selector }]);
  });

  test("is found in all contents of a chat, in order, each time it stands there", () => {
    const body = chat(
      message(tag("role"), `${tag("b")} and ${labelTag("a")}`),
      { type: "placeholder", name: "h" },
      message("user", tag("b")),
    );
    expect(compositionTags(body).map(({ raw }) => raw)).toEqual([
      tag("b"),
      labelTag("a"),
      tag("b"),
    ]);
  });

  test("is found behind the start of another one", () => {
    const found = compositionTags(text(`@@@langfusePrompt:name=a ${tag("b")}@${tag("c")}`));
    expect(found.map(({ name }) => name)).toEqual(["b", "c"]);
  });
});

describe("what looks like a tag is text", () => {
  test.each([
    "@@@langfusePrompt:@@@",
    "@@@langfusePrompt:name=a@@@",
    "@@@langfusePrompt:name=|version=1@@@",
    "@@@langfusePrompt:name=a|version=@@@",
    "@@@langfusePrompt:name=a|label=@@@",
    "@@@langfusePrompt:version=1|name=a@@@",
    "@@@langfusePrompt:name=a|version=1|label=b@@@",
    "@@@langfusePrompt:name=a|label=b|@@@",
    "@@@langfusePrompt:name=a|tag=b@@@",
    "@@@langfusePrompt: name=a|version=1@@@",
    "@@@langfusePrompt:name=a|version=0@@@",
    "@@@langfusePrompt:name=a|version=01@@@",
    "@@@langfusePrompt:name=a|version=1.5@@@",
    "@@@langfusePrompt:name=a|version=-1@@@",
    "@@@langfusePrompt:name=a|version=x@@@",
    "@@@langfusePrompt:name=a|version=4294967296@@@",
    "@@@langfusePrompt:name=a\n|version=1@@@",
    `@@@langfusePrompt:name=${"n".repeat(513)}|version=1@@@`,
    `@@@langfusePrompt:name=a|label=${"l".repeat(37)}@@@`,
    "@@@langfusePrompt:name=a|version=1@@",
    "@@langfusePrompt:name=a|version=1@@@",
    "@@@LangfusePrompt:name=a|version=1@@@",
    "@@@langfusePrompt:name=a|version=1",
  ])("%j", async (raw) => {
    expect(compositionTags(text(raw))).toEqual([]);
    expect(await composeText(`${raw} ${tag("a")}`, library({ "a v1": "A" }))).toBe(`${raw} A`);
  });
});

describe("compose", () => {
  test("answers with the root's own body where it has no tag", async () => {
    const { load, loads } = library({});
    for (const body of [text("a @@@ {{b}}"), chat(message("user", "a"))]) {
      const composed = await compose({ name: "root", version: 1, body }, load);
      expect(composed.body).toBe(body);
      expect(composed.components).toEqual([]);
    }
    expect(loads).toEqual([]);
  });

  test("puts children's text in the place of tags, and theirs into them", async () => {
    const prompts = library(
      { "a v1": `A(${tag("b", 3)})`, "b v3": "B {{x}}", "c v2": `C(${tag("b", 3)})` },
      { "c production": 2 },
    );
    const root = { name: "root", version: 7, body: text(`<${tag("a")}|${labelTag("c")}>`) };
    expect(await compose(root, prompts.load)).toEqual({
      body: text("<A(B {{x}})|C(B {{x}})>"),
      components: [component("a"), component("b", 3), component("c", 2)],
    });
  });

  test("leaves placeholders, roles and config of a chat as they are", async () => {
    const placeholder: ChatItem = { type: "placeholder", name: "h" };
    const body = chat(
      message("system", `${tag("a")}!`),
      placeholder,
      message(tag("a"), "no tag"),
      message("user", tag("a")),
    );
    const root = { name: "root", version: 1, body };
    const { body: composed, components } = await compose(root, library({ "a v1": "A" }).load);
    expect(composed).toEqual(
      chat(message("system", "A!"), placeholder, message(tag("a"), "no tag"), message("user", "A")),
    );
    expect(components).toEqual([component("a")]);
  });

  test("does not read a child's text as a replacement pattern", async () => {
    expect(await composeText(tag("a"), library({ "a v1": "$& $1 $$" }))).toBe("$& $1 $$");
  });

  test("never reads again what it put together", async () => {
    const [head, tail] = [tag("b").slice(0, 20), tag("b").slice(20)];
    const prompts = library({ "head v1": head, "b v1": "no" });
    expect(await composeText(`${tag("head")}${tail}`, prompts)).toBe(tag("b"));
  });

  test("loads each selector once and counts each version once", async () => {
    const labels = { "a production": 1, "a latest": 1 };
    const prompts = library({ "a v1": tag("b"), "b v1": "B" }, labels);
    const template = `${tag("a")}${labelTag("a")}${labelTag("a", "latest")}${tag("b")}`.repeat(3);
    const { load, loads } = prompts;
    const composed = await compose({ name: "root", version: 1, body: text(template) }, load);
    expect(composed.body.template).toBe("B".repeat(12));
    expect(composed.components).toEqual([component("a"), component("b")]);
    expect(loads).toEqual(["a v1", "b v1", "a production", "a latest"]);
  });

  test("keeps label 3 apart from version 3", async () => {
    const prompts = library({ "a v3": "version", "a v1": "label" }, { "a 3": 1 });
    expect(await composeText(`${tag("a", 3)} ${labelTag("a", "3")}`, prompts)).toBe(
      "version label",
    );
  });

  test("composes fstring prompts too", async () => {
    const prompts = library({ "a v1": text("{x}", "fstring") });
    const body = text(`{{${tag("a")}}}`, "fstring");
    const composed = await compose({ name: "root", version: 1, body }, prompts.load);
    expect(composed.body).toEqual(text("{{{x}}}", "fstring"));
  });
});

describe("refused is", () => {
  test("a child that does not exist, naming its parent", async () => {
    const { load } = library({ "a v2": tag("gone", 9), "b v1": labelTag("a", "gone") });
    const error = await refusal(text(tag("a", 2)), load);
    expect(error.message).toBe("a v2 includes gone v9, which does not exist");
    expect(error.cause).toMatchObject({ code: "not_found" });
    expect((await refusal(text(tag("b")), load)).message).toBe(
      "b v1 includes a (label gone), which does not exist",
    );
  });

  test("a child that is a chat", async () => {
    const { load } = library({ "a v1": chat(message("user", "")) });
    expect((await refusal(text(tag("a")), load)).message).toBe(
      "root v1 includes a v1, which is a chat prompt; only text prompts can be included",
    );
  });

  test("a child of another format", async () => {
    const { load } = library({ "a v1": tag("b"), "b v1": text("", "fstring") });
    expect((await refusal(text(tag("a")), load)).message).toBe(
      "a v1 includes b v1, whose template format is fstring and not mustache; one template has one format",
    );
  });

  test("a circle, naming the way", async () => {
    const { load } = library({ "a v1": tag("b", 2), "b v2": tag("c"), "c v1": tag("b", 2) });
    expect((await refusal(text(tag("a")), load)).message).toBe(
      "a prompt cannot include itself: root v1 → a v1 → b v2 → c v1 → b v2",
    );
  });

  test("a child that includes itself", async () => {
    const { load } = library({ "a v1": labelTag("a") }, { "a production": 1 });
    expect((await refusal(text(tag("a")), load)).message).toBe(
      "a prompt cannot include itself: root v1 → a v1 → a v1",
    );
  });

  test("any version of the root, whether it exists or not", async () => {
    const { load, loads } = library({ "a v1": tag("root", 5), "b v1": labelTag("root") });
    expect((await refusal(text(tag("a")), load)).message).toBe(
      "a prompt cannot include itself: root v1 → a v1 → root v5",
    );
    expect((await refusal(text(tag("b")), load)).message).toBe(
      "a prompt cannot include itself: root v1 → b v1 → root (label production)",
    );
    expect((await refusal(text(tag("root")), load)).message).toBe(
      "a prompt cannot include itself: root v1 → root v1",
    );
    expect(loads).toEqual(["a v1", "b v1"]);
  });

  test("not another version of a child: that is no circle", async () => {
    const prompts = library({ "a v2": `2 ${tag("a", 1)}`, "a v1": "1" });
    expect(await composeText(tag("a", 2), prompts)).toBe("2 1");
  });
});

describe("an error that is not about the prompts passes", () => {
  test.each([new PromptdError("unavailable", "down"), new TypeError("a defect")])(
    "%s",
    async (error) => {
      const load = () => Promise.reject(error);
      await expect(compose({ name: "r", version: 1, body: text(tag("a")) }, load)).rejects.toBe(
        error,
      );
    },
  );
});

/** Prompts p1, p2, … of which each includes the next one. */
function staircase(height: number, last = "end"): Record<string, string> {
  const steps = Array.from({ length: height }, (_, index) => [
    `p${index + 1} v1`,
    index + 1 === height ? last : `${index + 1} ${tag(`p${index + 2}`)}`,
  ]);
  return Object.fromEntries(steps);
}

describe("depth", () => {
  test(`of ${MAX_COMPOSITION_DEPTH} levels below the root composes`, async () => {
    expect(await composeText(tag("p1"), library(staircase(5)))).toBe("1 2 3 4 end");
  });

  test("of one more is refused before it is loaded", async () => {
    const { load, loads } = library(staircase(6));
    expect((await refusal(text(tag("p1")), load)).message).toBe(
      "prompts can be included at most 5 levels deep: root v1 → p1 v1 → p2 v1 → p3 v1 → p4 v1 → p5 v1 → p6 v1",
    );
    expect(loads).not.toContain("p6 v1");
  });

  test("counts what was composed before at a lower level", async () => {
    const { load } = library({ ...staircase(5), "q v1": tag("p1") });
    expect((await refusal(text(`${tag("p1")}${tag("q")}`), load)).message).toBe(
      "prompts can be included at most 5 levels deep: root v1 → q v1 → p1 v1",
    );
  });

  test("is counted anew for a version met again", async () => {
    const { load } = library(
      { ...staircase(5), "q v1": labelTag("p1", "x") },
      { "p1 x": 1, "p1 y": 1 },
    );
    const error = await refusal(text(`${labelTag("p1", "y")}${tag("q")}`), load);
    expect(error.message).toMatch(/root v1 → q v1 → p1 \(label x\)$/);
  });
});

describe("the bound on components", () => {
  const wide = (count: number) =>
    Array.from({ length: count }, (_, index) => tag("a", index + 1)).join("");
  const load: LoadComponent = async (name, selector) => ({
    ...component(name, "version" in selector ? selector.version : 0),
    body: text("x"),
  });

  test("holds at both edges", async () => {
    const body = text(wide(MAX_COMPONENTS));
    const { components } = await compose({ name: "root", version: 1, body }, load);
    expect(components).toHaveLength(MAX_COMPONENTS);
    expect((await refusal(text(wide(MAX_COMPONENTS + 1)), load)).message).toBe(
      "root v1 includes more than 100 different prompt versions",
    );
  });
});

describe("the bound on size", () => {
  test("holds at both edges, in bytes of UTF-8", async () => {
    const prompts = library({ "a v1": "€".repeat(1000) });
    const room = "b".repeat(MIB - 3000);
    expect(await composeText(room + tag("a"), prompts)).toHaveLength(MIB - 2000);
    expect((await refusal(text(`${room}b${tag("a")}`), prompts.load)).message).toBe(
      "root v1 with all that it includes is larger than 1048576 bytes (1 MiB of UTF-8)",
    );
    await refusal(text(`${room}${tag("a")}b`), prompts.load);
  });

  test("is one for all roles and contents of a chat", async () => {
    const prompts = library({ "a v1": "a".repeat(MIB / 2) });
    const fitting = [message("user", "b".repeat(MIB / 2 - 8)), message("user", tag("a"))];
    const root = { name: "root", version: 1, body: chat(...fitting) };
    expect((await compose(root, prompts.load)).components).toHaveLength(1);
    await refusal(chat(...fitting, message("u", "")), prompts.load);
  });

  test("names the prompt that passes it", async () => {
    const { load } = library({ "a v1": tag("b").repeat(3), "b v1": "b".repeat(MIB / 2) });
    expect((await refusal(text(tag("a")), load)).message).toContain("a v1 with all");
  });
});

// Each prompt includes the next one as often as fits: 22,000 to the power of 5
// ways lead through them.
describe("a billion laughs", () => {
  const laughs = (next: string) => tag(next).repeat(Math.floor(MIB / tag(next).length));
  const prompts = (last: string) => ({
    "p1 v1": laughs("p2"),
    "p2 v1": laughs("p3"),
    "p3 v1": laughs("p4"),
    "p4 v1": laughs("p5"),
    "p5 v1": last,
  });

  test("are refused when they are long", async () => {
    const { load, loads } = library(prompts("ha".repeat(100)));
    expect((await refusal(text(laughs("p1")), load)).message).toContain("p4 v1 with all");
    expect(loads).toHaveLength(5);
  });

  test("are composed once when they are empty", async () => {
    const { load, loads } = library(prompts(""));
    const body = text(laughs("p1"));
    const composed = await compose({ name: "root", version: 1, body }, load);
    expect(composed.body.template).toBe("");
    expect(loads).toHaveLength(5);
  });
});

test.each([
  "@",
  "@@@",
  "@@@langfusePrompt:",
  "@@@langfusePrompt:name=a|version=1",
  "@@@langfusePrompt:name=a@@@",
  tag("a"),
])("a MiB of %s is looked through", async (piece) => {
  const template = piece.repeat(MIB / piece.length);
  const { load } = library({ "a v1": piece.slice(0, 3) });
  expect(await composeText(template, { load })).toMatch(/^@/);
});

test("a template of which every tag is known is its pieces, joined", () => {
  const piece = fc.oneof(
    fc.constantFrom("a", "b").map((name) => ({ source: tag(name), text: `${name}: $& {{x}}` })),
    fc
      .constantFrom("@", "@@@", "|", "{{x}}", "\n", "@@@langfusePrompt:", "name=a", "version=1")
      .map((text) => ({ source: ` ${text} `, text: ` ${text} ` })),
  );
  const prompts = library({ "a v1": "a: $& {{x}}", "b v1": "b: $& {{x}}" });
  return fc.assert(
    fc.asyncProperty(fc.array(piece), async (pieces) => {
      const source = pieces.map((piece) => piece.source).join("");
      expect(await composeText(source, prompts)).toBe(pieces.map(({ text }) => text).join(""));
    }),
  );
});
