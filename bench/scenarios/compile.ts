/** Compile of 2 KB with five variables, and the template engine alone. */

import Mustache from "mustache";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { compile } from "../../src/core/template/compile.ts";
import { parseBody } from "../../src/core/template/template.ts";
import { targetOf } from "../harness/calls.ts";
import { type Compared, compare, type Share, shareOf } from "../harness/compare.ts";
import { LOAD } from "../harness/h2load.ts";
import { PROMPT, startPromptd, TEMPLATE, VARIABLES } from "../harness/promptd.ts";
import { atLeast, atMost, type Result, range } from "../harness/result.ts";

const ROUNDS = 11;

const { getPrompt, compile: compileMethod } = PromptService.method;

export const NAMES = { compile: "Compile", get: "GetPrompt", again: "GetPrompt again" };

export async function run(): Promise<Result> {
  const seen = await measure(ROUNDS);
  const engine = measureEngine(10 * ROUNDS);
  const spread = `the same twice: ${range(seen.share(NAMES.again, NAMES.get))}`;
  return {
    rows: seen.rows(),
    goals: [
      atLeast(
        "Compile, 5 variables, 2 KB: calls a second as a share of GetPrompt's",
        0.85,
        seen.share(NAMES.compile, NAMES.get),
        spread,
      ),
      atMost(
        "the template engine alone: time as a multiple of joining ready segments",
        1.5,
        engine.join,
        "",
      ),
      atLeast("… how many times as fast as mustache.js", 6, engine.mustache, ""),
    ],
  };
}

export async function measure(rounds: number, load = LOAD, warmUp?: number): Promise<Compared> {
  // With a key: without one each call asks the database whether there is any, which would hide the difference.
  const promptd = await startPromptd({ keys: true });
  try {
    const request = { name: PROMPT, variables: VARIABLES };
    const { target } = await targetOf(promptd, getPrompt, { name: PROMPT });
    const compiled = await targetOf(promptd, compileMethod, request);
    const targets = {
      [NAMES.get]: target,
      [NAMES.compile]: compiled.target,
      [NAMES.again]: target,
    };
    return await compare(targets, load, rounds, warmUp);
  } finally {
    await promptd.stop();
  }
}

/** Of one turn. */
const TIMES = 4000;

/** What the engine takes, as a share of the time of the others. */
export function measureEngine(rounds: number): { join: Share; mustache: Share } {
  const parsed = parseBody({ type: "text", format: "mustache", template: TEMPLATE, config: {} });
  const input = { variables: VARIABLES, placeholders: {}, missing: "strict" } as const;
  const segments = TEMPLATE.split(/\{\{(\w+)\}\}/);
  // Without HTML's escapes, which prompts do not want.
  Mustache.escape = String;
  const variables: Record<string, string> = VARIABLES;
  const ways = {
    engine: () => {
      const compiled = compile(parsed, input);
      return compiled.type === "text" ? compiled.text : "";
    },
    join: () => segments.map((part, index) => (index % 2 === 0 ? part : variables[part])).join(""),
    mustache: () => Mustache.render(TEMPLATE, VARIABLES),
  };
  const texts = new Set(Object.values(ways).map((way) => way()));
  if (texts.size !== 1) throw new Error("they compile to different texts");
  const took = { engine: [] as number[], join: [] as number[], mustache: [] as number[] };
  for (let round = -5; round < rounds; round++) {
    for (const way of ["engine", "join", "mustache"] as const) {
      const began = performance.now();
      let bytes = 0;
      // Read out, as a caller does: a text may be put together only then.
      for (let i = 0; i < TIMES; i++) bytes += Buffer.byteLength(ways[way]());
      if (bytes === 0) throw new Error("nothing was compiled");
      if (round >= 0) took[way].push(performance.now() - began);
    }
  }
  const { engine, join, mustache } = took;
  return {
    join: shareOf(engine.map((ms, round) => ms / (join[round] as number))),
    mustache: shareOf(engine.map((ms, round) => (mustache[round] as number) / ms)),
  };
}
