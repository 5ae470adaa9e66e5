/**
 * What a variable may be called. Letters are those of Unicode, so that a name
 * can be written in the language of its template.
 *
 * The patterns are sticky and nothing follows their last loop: they read each
 * character once and never go back.
 */
const IDENTIFIER = /[\p{L}_][\p{L}\p{M}\p{Nd}_]*/uy;
const HYPHENATED = /[\p{L}_][\p{L}\p{M}\p{Nd}_-]*/uy;

/** Where the identifier (no hyphens, no dots) at `from` ends; `from` if there is none. */
export function endOfIdentifier(text: string, from: number): number {
  return endOfMatch(IDENTIFIER, text, from);
}

/** Where the name at `from`, parts joined by dots, ends; `from` if there is none. */
export function endOfDottedName(text: string, from: number): number {
  let end = endOfMatch(HYPHENATED, text, from);
  while (end > from && text[end] === ".") {
    const endOfPart = endOfMatch(HYPHENATED, text, end + 1);
    if (endOfPart === end + 1) break;
    end = endOfPart;
  }
  return end;
}

/** Whether the whole text is one part of a name: what a placeholder may be called. */
export function isPlaceholderName(text: string): boolean {
  return text !== "" && endOfMatch(HYPHENATED, text, 0) === text.length;
}

function endOfMatch(sticky: RegExp, text: string, from: number): number {
  sticky.lastIndex = from;
  return sticky.test(text) ? sticky.lastIndex : from;
}
