import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { beforeEach, describe, expect, it } from "vitest";
import {
  BatchItemSchema,
  GetPromptResponseSchema,
} from "../../../gen/promptd/v1/prompt_service_pb.ts";
import { declare } from "./declared.ts";
import { PAUSE_MS, Standing } from "./standing.ts";

let now: number;
let prompt: Standing;

beforeEach(() => {
  now = 0;
  prompt = new Standing(declare({ p: "code" })[0] as never, () => now);
});

function answer(text: string, version: number, contentHash = "") {
  return create(GetPromptResponseSchema, {
    prompt: { name: "p", version, template: { case: "text", value: text } },
    resolution: { id: "id", version, contentHash, traceAttributes: { a: "b" } },
  });
}

const told = (text: string, version: number) =>
  create(BatchItemSchema, { result: { case: "response", value: answer(text, version) } });

const none = create(BatchItemSchema, { result: { case: "error", value: { code: Code.NotFound } } });

const text = () => {
  const { body, from } = prompt.local();
  return `${from}: ${body.template}`;
};

describe("a prompt of the code", () => {
  it("may be managed until somebody knows, and is its own without the service", () => {
    expect(prompt.mayBeManaged).toBe(true);
    expect(prompt.local()).toEqual({ name: "p", body: prompt.declared.body, from: "code" });
    prompt.version = 3;
    expect(prompt.local()).toMatchObject({ version: 3 });
  });

  it("is asked for by the label again after a pause, where no stream tells", () => {
    prompt.unmanaged();
    expect(prompt.mayBeManaged).toBe(false);
    now = PAUSE_MS;
    expect(prompt.mayBeManaged).toBe(true);
  });

  it("is not asked for by the label while a stream tells, and at once when it ends", () => {
    prompt.told(none);
    now = 100 * PAUSE_MS;
    expect(prompt.mayBeManaged).toBe(false);
    prompt.lost();
    expect(prompt.mayBeManaged).toBe(true);
    prompt.unmanaged();
    expect(prompt.mayBeManaged).toBe(false);
    prompt.told(told("managed", 2));
    expect(prompt.mayBeManaged).toBe(true);
  });

  it("takes no older answer for newer than what a stream told", () => {
    prompt.told(told("managed", 2));
    prompt.unmanaged();
    expect(prompt.mayBeManaged).toBe(true);
    expect(text()).toBe("memory: managed");
  });

  it("keeps what was answered last, until the label points at nothing", () => {
    expect(prompt.managed(answer("one", 1))).toMatchObject({ from: "service", version: 1 });
    prompt.managed(answer("two", 2));
    expect(text()).toBe("memory: two");
    expect(prompt.local()).not.toHaveProperty("resolution");
    prompt.unmanaged();
    expect(text()).toBe("code: code");
    prompt.told(told("three", 3));
    prompt.told(none);
    expect(text()).toBe("code: code");
  });

  it("knows better than a fallback file", () => {
    prompt.managed(answer("one", 1));
    prompt.told(told("file", 0));
    expect(() => prompt.managed(answer("file", 0))).toThrow("with a fallback file");
    expect(text()).toBe("memory: one");
  });

  it("is linked to its own version alone", () => {
    const { contentHash } = prompt.declared;
    prompt.version = 1;
    expect(prompt.tracked(answer("code", 1, contentHash))).toMatchObject({
      from: "code",
      version: 1,
      resolution: { id: "id", traceAttributes: { a: "b" } },
    });
    const other = prompt.tracked(answer("of another", 1, "other"));
    expect(other).toEqual({ name: "p", body: prompt.declared.body, from: "code" });
  });

  it("is left alone for a while where it was refused, and forgets a version that is gone", () => {
    prompt.version = 1;
    prompt.failed("refused");
    expect([prompt.quiet, prompt.version]).toEqual([true, 1]);
    now = PAUSE_MS;
    expect(prompt.quiet).toBe(false);
    prompt.failed("not_found");
    expect(prompt.version).toBeUndefined();
  });

  it("is asked for again once a stream tells what the label points at", () => {
    prompt.failed("not_found");
    prompt.told(told("managed", 2));
    expect(prompt.quiet).toBe(false);
  });
});
