/** Whether what was compiled is what a case, or its snapshot, says. */

import { isDeepStrictEqual } from "node:util";
import type { Compiled } from "../core/template/compile.ts";
import { patchText } from "../files/patch.ts";
import type { Matcher, ReadCase } from "../files/test-case.ts";
import { writeYaml } from "../files/yaml.ts";
import { mismatch, shown } from "./matcher.ts";
import type { Failure } from "./report.ts";
import type { Snapshot } from "./snapshots.ts";

/** A text or a chat, as a file of snapshots holds it. */
export function snapshotOf(compiled: Compiled): Snapshot {
  return compiled.type === "text" ? compiled.text : compiled.messages;
}

/** @param key of the case that holds the matchers */
export function failedMatchers(
  matchers: readonly Matcher[],
  found: Compiled,
  key: "expect" | "answer",
  placeOf: ReadCase["placeOf"],
): Failure[] {
  return matchers.flatMap((matcher, index) => {
    const why = mismatch(matcher, found);
    return why === undefined ? [] : [{ line: placeOf(key, index).line, message: `${key}: ${why}` }];
  });
}

/** @param what is told of the difference, such as `snapshot` */
export function differences(
  expected: Snapshot,
  compiled: Compiled,
  what: string,
  line: number,
): Failure[] {
  const found = snapshotOf(compiled);
  if (isDeepStrictEqual(expected, found)) return [];
  if (typeof expected !== typeof found) {
    const [wanted, got] = typeof expected === "string" ? ["text", "chat"] : ["chat", "text"];
    return [{ line, message: `${what}: expected a ${wanted}, found a ${got}` }];
  }
  if (isShort(expected) && isShort(found)) {
    return [{ line, message: `${what}: expected ${shown(expected)}, found ${shown(found)}` }];
  }
  const message = `${what}: expected another ${compiled.type}`;
  const patch = patchText(["expected", "found"], [readable(expected), readable(found)]);
  return [{ line, message, patch }];
}

function isShort(snapshot: Snapshot): boolean {
  return typeof snapshot === "string" && snapshot.length <= 80 && !/[\r\n]/.test(snapshot);
}

/** A chat as a file of snapshots has it, with a text's lines as they are. */
function readable(snapshot: Snapshot): string {
  return typeof snapshot === "string" ? snapshot : writeYaml(snapshot);
}
