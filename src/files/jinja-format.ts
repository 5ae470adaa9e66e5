/** `.j2`: a jinja template, as a whole or under YAML front matter. */

import { PromptdError } from "../core/errors.ts";
import { readFrontMatter } from "./front-matter.ts";
import { type FileContent, readHeader } from "./header.ts";
import { withoutByteOrderMark } from "./text.ts";

/**
 * A file whose first line is not `---` is a template as a whole.
 *
 * @throws invalid with the line
 */
export function readJinja(text: string): FileContent {
  const { fields, where, body } = readFrontMatter(withoutByteOrderMark(text)) ?? {
    fields: {},
    where: () => "",
    body: text,
  };
  for (const key of ["type", "format"].filter((key) => key in fields)) {
    const message = `${where(key)}${key}: a .j2 file is a text in format jinja, and need not say so`;
    throw new PromptdError("invalid", message);
  }
  const { config, format: _, ...rest } = readHeader(fields, where);
  return { body: { type: "text", format: "jinja", template: body, config }, ...rest };
}
