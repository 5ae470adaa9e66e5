import { describe, expect, it } from "vitest";
import type { ChatItem, JsonValue, PromptBody } from "../core/prompt.ts";
import type { Content } from "./contents.ts";
import { holdsMarkers, merge } from "./merge.ts";

const text = (template: string, config: JsonValue = {}, tags: string[] = []): Content => ({
  body: { type: "text", format: "mustache", template, config },
  tags,
});

const chat = (...messages: [role: string, content: string][]): Content => {
  const template: ChatItem[] = messages.map(([role, content]) => ({
    type: "chatmessage",
    role,
    content,
  }));
  return { body: { type: "chat", format: "mustache", template, config: {} }, tags: [] };
};

const markers = (body: PromptBody) => holdsMarkers(body);

describe("a merge", () => {
  it("takes what each side changed", () => {
    const merged = merge(text("a\nb\nc"), text("A\nb\nc"), text("a\nb\nC"));
    expect(merged).toEqual({ content: text("A\nb\nC"), conflicts: false });
  });

  it("takes what both changed alike once", () => {
    const merged = merge(text("a\nb\n"), text("A\nb\n"), text("A\nb\n"));
    expect(merged).toEqual({ content: text("A\nb\n"), conflicts: false });
  });

  it("puts markers around what both changed", () => {
    const { content, conflicts } = merge(text("a\nb\n"), text("here\nb\n"), text("there\nb\n"));
    const template = "<<<<<<< local\nhere\n=======\nthere\n>>>>>>> remote\nb\n";
    expect({ content, conflicts }).toEqual({ content: text(template), conflicts: true });
    expect(markers(content.body)).toBe(true);
  });

  it("without a base leaves all that differs to somebody", () => {
    const { content, conflicts } = merge(undefined, text("a\nb\n"), text("b\n"));
    const template = "<<<<<<< local\na\n=======\n>>>>>>> remote\nb\n";
    expect({ content, conflicts }).toEqual({ content: text(template), conflicts: true });
  });

  it("keeps line breaks as they are, and the missing one at the end", () => {
    const merged = merge(text("a\r\nb\r\nc"), text("A\r\nb\r\nc"), text("a\r\nb\r\nC"));
    expect(merged.content).toEqual(text("A\r\nb\r\nC"));
  });

  it("marks conflicts of lines that end in CRLF so that they are found", () => {
    const { content } = merge(text("a\r\nb"), text("x\r\nb"), text("y\r\nb"));
    expect(markers(content.body)).toBe(true);
  });

  it("merges the messages of a chat", () => {
    const base = chat(["system", "a\nb"], ["user", "{{q}}"]);
    const here = chat(["system", "A\nb"], ["user", "{{q}}"]);
    const there = chat(["system", "a\nb"], ["user", "{{q}}"], ["assistant", "Yes"]);
    expect(merge(base, here, there).content).toEqual(
      chat(["system", "A\nb"], ["user", "{{q}}"], ["assistant", "Yes"]),
    );
  });

  it("puts markers into a message", () => {
    const { content, conflicts } = merge(
      chat(["user", "a"]),
      chat(["user", "b"]),
      chat(["user", "c"]),
    );
    const marked = "<<<<<<< local\nb\n=======\nc\n>>>>>>> remote";
    expect({ content, conflicts }).toEqual({ content: chat(["user", marked]), conflicts: true });
  });

  it("takes config from the side that changed it", () => {
    const base = text("a", { n: 1 });
    expect(merge(base, text("a", { n: 2 }), base).content.body.config).toEqual({ n: 2 });
    expect(merge(base, base, text("a", { n: 2 })).content.body.config).toEqual({ n: 2 });
  });

  it("keeps tags that either side added, and none that one took away", () => {
    const [base, here, there] = [
      text("a", {}, ["x", "y"]),
      text("a", {}, ["y", "z"]),
      text("a", {}, ["x", "y", "w"]),
    ];
    expect(merge(base, here, there).content.tags).toEqual(["y", "z", "w"]);
  });
});

it.each<[string, Content, Content, Content]>([
  ["config that both changed", text("a"), text("a", 1), text("a", 2)],
  ["a text and a chat", text("a"), text("b"), chat(["user", "a"])],
  ["roles that both changed", chat(["user", "a"]), chat(["system", "a"]), chat(["assistant", "a"])],
])("refuses %s", (_, base, local, remote) => {
  expect(() => merge(base, local, remote)).toThrow("cannot be merged");
});

it("takes a line of equal signs for a part of the text", () => {
  expect(markers(text("Title\n=======\n").body)).toBe(false);
});
