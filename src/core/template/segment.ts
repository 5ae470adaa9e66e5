/**
 * A piece of a parsed template. The `raw`s of a template's segments, joined,
 * are its source again.
 */
export type Segment =
  /** Stands for itself; `text` differs from `raw` where braces were doubled. */
  | { kind: "text"; raw: string; text: string }
  /** A tag that a value takes the place of. */
  | { kind: "variable"; raw: string; name: string }
  /** A section or partial of mustache, which promptd keeps but does not run. */
  | { kind: "section"; raw: string };
