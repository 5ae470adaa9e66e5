/** Conditions on columns of names, which are in order of bytes. */

import { type RawBuilder, type SqlBool, sql } from "kysely";

/** @param patterns of keys, at least one */
export function fitsOneOf(column: string, patterns: readonly string[]): RawBuilder<SqlBool> {
  const each = patterns.map((pattern) =>
    pattern.endsWith("*")
      ? beginsWith(column, pattern.slice(0, -1))
      : sql`${sql.ref(column)} = ${pattern}`,
  );
  return sql`(${sql.join(each, sql` or `)})`;
}

/** All names with the same beginning are neighbours in the index, so that no others are read. */
export function beginsWith(column: string, text: string): RawBuilder<SqlBool> {
  const name = sql.ref(column);
  const end = endOf(text);
  return end === undefined
    ? sql`${name} >= ${text}`
    : sql`(${name} >= ${text} and ${name} < ${end})`;
}

/** What follows on all that begin with a text, in order of bytes; undefined where nothing does. */
function endOf(text: string): string | undefined {
  const characters = [...text.replace(/\u{10ffff}+$/u, "")];
  const last = characters.pop()?.codePointAt(0);
  if (last === undefined) return undefined;
  // Between these two are the surrogates, which are no characters.
  return characters.join("") + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
}
