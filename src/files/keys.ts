/** Objects with known keys, as front matter, JSON and the project file hold them. */

import { z } from "zod";
import { PromptdError } from "../core/errors.ts";
import type { Where } from "./yaml.ts";

/**
 * An object that has these keys and no others.
 *
 * @param hint what to do about an unknown key, where there is more to say than which are known
 */
export function strictKeys<Shape extends z.ZodRawShape>(
  shape: Shape,
  hint: (key: string) => string | undefined = () => undefined,
) {
  const known = `expected one of ${Object.keys(shape).join(", ")}`;
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? (hint(issue.keys[0] ?? "") ?? known)
        : "expected keys and values",
  });
}

/** @throws invalid naming a key that is unknown or has an unexpected value */
export function readKeys<Schema extends z.ZodType>(
  schema: Schema,
  fields: unknown,
  where: Where,
): z.output<Schema> {
  const parsed = schema.safeParse(fields);
  if (parsed.success) return parsed.data;
  const { path, message } = problemOf(parsed.error);
  throw new PromptdError("invalid", `${where(...path)}${message}`);
}

/** The first thing that is wrong, and where. */
export function problemOf({ issues }: z.ZodError): { path: PropertyKey[]; message: string } {
  const [issue] = issues;
  const path = issue?.path ?? [];
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const message = `unknown key ${JSON.stringify(key)}: ${issue.message}`;
    return { path: [...path, key], message };
  }
  const place = path.length > 0 ? `${placeOf(path)}: ` : "";
  return { path, message: `${place}${issue?.message}` };
}

/** `sync.labels[0]` */
function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
}
