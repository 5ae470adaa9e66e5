import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

describe.each<{ file: string; schema: string; faults: [string, string][] }>([
  {
    file: "github-actions.yml",
    schema: "github-workflow.json",
    faults: [
      ["needs: check", "need: check"],
      ["runs-on: ubuntu-latest", ""],
      ["contents: read", "contents: much"],
      ["push:", "pushed:"],
    ],
  },
  {
    file: "gitlab-ci.yml",
    schema: "gitlab-ci.json",
    faults: [
      ["needs: [promptd:check]", "needs: 1"],
      ["terraform: promptd-plan.json", "terraform: {}"],
      ["resource_group: promptd", "resource_group: [promptd]"],
    ],
  },
])("docs/ci/$file", ({ file, schema, faults }) => {
  const text = readFileSync(`docs/ci/${file}`, "utf8");
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const isValid = ajv.compile(JSON.parse(readFileSync(`test/ci/schemas/${schema}`, "utf8")));

  it("is valid by the published schema", () => {
    expect(isValid(parse(text)) || isValid.errors).toBe(true);
  });

  it.each(faults)("is not with another %j: %j", (good, bad) => {
    expect(text).toContain(good);
    expect(isValid(parse(text.replace(good, bad)))).toBe(false);
  });
});
