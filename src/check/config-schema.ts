/** Whether configs keep a JSON Schema that the project names. */

import { stat } from "node:fs/promises";
import { Ajv as AjvOfDraft7, type AnySchema, type ErrorObject, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { PromptdError } from "../core/errors.ts";
import { bounded } from "../files/bounded.ts";
import { inFile, readBytes } from "../files/read.ts";
import { decodeUtf8, parseJson } from "../files/text.ts";
import type { Found } from "./fault.ts";
import type { CheckedPrompt } from "./prompt.ts";
import { shown } from "./secrets.ts";

export type ConfigCheck = (prompt: CheckedPrompt) => Found[];

/** Keywords that a schema may have and we do not know are passed over, as the standard has it. */
const OPTIONS = { allErrors: true, strict: false, validateFormats: false, logger: false } as const;

/**
 * Reads a schema of draft 7 or 2020-12, which is the default. Nothing is fetched.
 *
 * @throws invalid where the file cannot be read or holds no such schema
 */
export async function readConfigSchema(file: string): Promise<ConfigCheck> {
  // A link in somebody's repository may lead to a device that is read without end.
  const stats = await stat(file).catch(() => undefined);
  if (stats?.isCharacterDevice()) throw inFile(file, "is not a regular file");
  const bytes = await readBytes(file);
  const validate = compiled(file, bytes);
  return ({ content, places }) => {
    try {
      bounded(() => validate(content.body.config));
    } catch (thrown) {
      const message = `config: the schema cannot be asked: ${(thrown as Error).message}`;
      return [{ rule: "config-schema", ...places.ofKey("config"), message }];
    }
    return (validate.errors ?? []).map((error) => ({
      rule: "config-schema",
      ...places.ofKey("config", ...pathOf(error)),
      message: expectationOf(error),
    }));
  };
}

function compiled(file: string, bytes: Uint8Array): ValidateFunction {
  try {
    const schema = parseJson(decodeUtf8(bytes)) as AnySchema;
    const dialect = typeof schema === "object" && schema !== null ? String(schema.$schema) : "";
    const ajv = dialect.includes("draft-07") ? new AjvOfDraft7(OPTIONS) : new Ajv2020(OPTIONS);
    return ajv.compile(schema);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const problem = thrown instanceof PromptdError ? why : `expected a JSON Schema: ${why}`;
    throw inFile(file, problem, thrown);
  }
}

/** `/models/0/a~1b` */
function pathOf({ instancePath }: ErrorObject): string[] {
  const parts = instancePath.split("/").slice(1);
  return parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function expectationOf(error: ErrorObject): string {
  const place = ["config", ...pathOf(error)].join(".");
  const { additionalProperty, allowedValues } = error.params;
  const details = [
    ...(additionalProperty === undefined ? [] : [String(additionalProperty)]),
    ...(Array.isArray(allowedValues) ? [JSON.stringify(allowedValues)] : []),
  ].map((detail) => `: ${shown(detail)}`);
  return `${shown(place)}: ${error.message}${details.join("")}`;
}
