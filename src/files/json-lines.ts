/** Deeper than a config may be, in a file's object; more would take memory in the square of the depth. */
const MAX_DEPTH = 40;

/** A map or list that is open, and the key or number of the value that comes next. */
interface Open {
  isList: boolean;
  part: string | number | undefined;
}

/**
 * Where the values of a JSON document stand, by their path.
 *
 * @param text is JSON; what is not gives lines of no account
 * @returns the line, from 1, of the last part of a path that is there at all
 */
export function jsonLines(text: string): (...path: PropertyKey[]) => number {
  const lines = new Map<string, number>();
  const open: Open[] = [];
  const keyOf = (path: readonly PropertyKey[]) => JSON.stringify(path.map(String));
  let line = 1;
  const note = () => {
    if (open.length <= MAX_DEPTH) lines.set(keyOf(open.map(({ part }) => part ?? "")), line);
  };
  for (let at = 0; at < text.length; at++) {
    const innermost = open.at(-1);
    const character = text[at] ?? "";
    if (character === "\n") line += 1;
    else if (character === "{" || character === "[") {
      note();
      const isList = character === "[";
      open.push({ isList, part: isList ? 0 : undefined });
    } else if (character === "}" || character === "]") open.pop();
    else if (character === "," && innermost) {
      innermost.part = innermost.isList ? Number(innermost.part) + 1 : undefined;
    } else if (character === '"') {
      const end = endOfString(text, at);
      if (innermost && innermost.part === undefined) {
        innermost.part = JSON.parse(text.slice(at, end + 1)) as string;
      }
      note();
      at = end;
    } else if (/[-\dtfn]/.test(character)) {
      note();
      while (/[-+.\w]/.test(text[at + 1] ?? "")) at += 1;
    }
  }
  return (...path) => {
    for (let length = path.length; length > 0; length--) {
      const found = lines.get(keyOf(path.slice(0, length)));
      if (found !== undefined) return found;
    }
    return 1;
  };
}

/** The index of the quote that closes the one at `from`. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

/**
 * Where a text stops being the beginning of any JSON: the parser tells of some faults only
 * that they are there. A few parses find it, for what is sound up to there ends too early.
 *
 * @param text is no JSON
 * @returns the offset of the first character that cannot stand there
 */
export function endOfJson(text: string): number {
  let sound = 0;
  for (let broken = text.length + 1; broken - sound > 1; ) {
    const middle = (sound + broken) >> 1;
    if (isBeginning(text.slice(0, middle))) sound = middle;
    else broken = middle;
  }
  return Math.min(sound, Math.max(0, text.length - 1));
}

function isBeginning(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (thrown) {
    const { message } = thrown as Error;
    const [, position] = /at position (\d+)/.exec(message) ?? [];
    return /end of JSON input/.test(message) || Number(position) >= text.length;
  }
}
