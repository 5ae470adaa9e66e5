import fc from "fast-check";
import { describe, expect } from "vitest";
import { PromptdError } from "../../src/core/errors.ts";
import { allowsPrompt } from "../../src/core/keys.ts";
import { Validator } from "../../src/core/validate.ts";
import { promptPath } from "../../src/files/prompt-path.ts";
import { credentialOf } from "../../src/rpc/credentials.ts";
import { fromPageToken, toPageToken } from "../../src/rpc/pages.ts";
import { toStatus } from "../../src/rpc/status.ts";
import { fuzz } from "./fuzz.ts";
import { unlessRefused } from "./refusals.ts";
import { brokenText } from "./texts.ts";

const token = fc.oneof(
  brokenText,
  brokenText.map((key) => Buffer.from(key).toString("base64url")),
  fc.jsonValue().map((key) => Buffer.from(JSON.stringify(key)).toString("base64url")),
);

const input = fc.record({
  said: brokenText,
  token,
  count: fc.oneof(fc.nat(300), fc.double(), fc.maxSafeInteger()),
  list: fc.array(brokenText, { maxLength: 5 }),
  id: brokenText,
});

/** Whether a check lets something pass; its refusal can be told within its bounds. */
function accepts(check: (validator: Validator) => void): boolean {
  const validator = new Validator();
  check(validator);
  try {
    validator.done();
    return true;
  } catch (thrown) {
    const status = toStatus(thrown as PromptdError);
    expect(thrown).toBeInstanceOf(PromptdError);
    expect(Buffer.byteLength(status.message)).toBeLessThanOrEqual(1024);
    return false;
  }
}

const bytes = (text: string) => Buffer.byteLength(text);
const characters = (text: string) => [...text].length;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

describe("names, labels, tags, user ids, tokens and credentials", () => {
  fuzz("names", input, async ({ said, token, count, list, id }) => {
    const whole = said.isWellFormed();
    const printable = whole && !CONTROL.test(said);
    const path = said !== "" && bytes(said) <= 512 && printable && !said.includes("|");
    if (accepts((v) => v.name(said))) {
      expect(path && !said.startsWith("/") && !said.endsWith("/") && !said.includes("//")).toBe(
        true,
      );
      expect(["new", "metrics", "prompt-detail"]).not.toContain(said);
      const file = await unlessRefused(() => promptPath(said));
      if (file !== undefined) expect(file.split("/")).not.toContain("..");
      expect(allowsPrompt([`${said.slice(0, 3)}*`], said)).toBe(true);
    }
    if (accepts((v) => v.folder(said))) expect(path).toBe(true);
    if (accepts((v) => v.label(said, "label"))) expect(said).toMatch(/^[a-z0-9_.-]{1,36}$/);
    const tag = accepts((v) => v.tag(said, "tag"));
    expect(tag).toBe(printable && said !== "" && characters(said) <= 100);
    expect(accepts((v) => v.userId(said))).toBe(whole && bytes(said) <= 1024);
    const message = whole && !said.includes("\u0000") && characters(said) <= 500;
    expect(accepts((v) => v.message(said, "reason"))).toBe(message);
    accepts((v) => v.tags(list));
    accepts((v) => v.labels(list));
    accepts((v) => v.moves(list));
    accepts((v) => v.pageSize(count));
    accepts((v) => v.version(count, "version"));
    accepts((v) => v.json({ [said]: [said, count, list] }, "config"));
    accepts((v) =>
      v.key({ id, name: said, scopes: [], promptPatterns: list, secretHash: "" }, count),
    );

    const key = await unlessRefused(() => fromPageToken(token, "string"));
    if (key !== undefined) expect(fromPageToken(toPageToken(key), "string")).toBe(key);
    const number = await unlessRefused(() => fromPageToken(token, "number"));
    if (number !== undefined) expect(fromPageToken(toPageToken(number), "number")).toBe(number);
    if (whole) expect(fromPageToken(toPageToken(said), "string")).toBe(said);

    const sent = await unlessRefused(() => credentialOf(() => said));
    if (sent && "secret" in sent) expect(bytes(sent.secret)).toBeLessThanOrEqual(4000);
  });
});
