/** What was found in SARIF 2.1.0, which code hosts show beside the lines of a pull request. */

import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import { type Fault, RULES } from "./fault.ts";

/**
 * @param pathOf a fault's file as it is to be shown: relative to the repository, or absolute
 * @param version of promptd
 */
export function sarifOf(
  faults: readonly Fault[],
  pathOf: (fault: Fault) => string,
  version: string,
): Record<string, unknown> {
  const ids = Object.keys(RULES);
  const rules = Object.entries(RULES).map(([id, [level, text]]) => ({
    id,
    shortDescription: { text },
    defaultConfiguration: { level },
  }));
  const results = faults.map((fault) => {
    const { rule, severity, message, line, column } = fault;
    const region = { startLine: line, ...(column !== undefined && { startColumn: column }) };
    const artifactLocation = { uri: uriOf(pathOf(fault)) };
    return {
      ruleId: rule,
      ruleIndex: ids.indexOf(rule),
      level: severity,
      message: { text: message },
      locations: [{ physicalLocation: { artifactLocation, region } }],
    };
  });
  return {
    $schema:
      "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "promptd", version, rules } },
        columnKind: "utf16CodeUnits",
        results,
      },
    ],
  };
}

function uriOf(path: string): string {
  if (isAbsolute(path)) return pathToFileURL(path).href;
  return path.split("/").map(encodeURIComponent).join("/");
}
