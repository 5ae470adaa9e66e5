/** Texts that somebody might send to break something. */

import fc from "fast-check";

/** Pieces that mean something to one part of promptd or another. */
const PIECES = [
  ..."{}@|<>/\\\"'`$&#^.-_:=!?* \n\r\t\u0000\u001b\u007f\u0085",
  ...["{{", "}}", "{{{", "}}}", "{{x}}", "{x}", "{{ user.name }}", "{{#s}}", "{{/s}}", "{{>p}}"],
  ...["{% for x in a %}", "{% endfor %}", "{% if x %}", "{% endif %}", "{% set x = a %}"],
  ...["{{ a.b[0] | join('-') }}", "{{ x | default('') }}", "{{ range(x) }}", "{%-", "{#", "#}"],
  ...['{{role "user"}}\n', '\n{{role "system"}}\r\n', '{{placeholder "h"}}\n', "---\n", "\n---\n"],
  ...["@@@", "@@@langfusePrompt:", "name=p|version=1", "|label=production@@@"],
  ...["@@@langfusePrompt:name=p|version=1@@@", "@@@langfusePrompt:name=q|label=latest@@@"],
  ...["__proto__", "constructor", "toString", "length", "null", "$&", "$1", "%s", "../", "//"],
  ...[
    "&a [*a]",
    "*a",
    "!!js/function",
    "<<: *a",
    "? ",
    "- ",
    "type: chat\n",
    "config: ",
    "labels: [",
  ],
  ...[
    "\ufeff",
    "\ufffd",
    "\ufffe",
    "\u2028",
    "\u200d",
    "\u0301",
    "ß",
    "İ",
    "名",
    "🙂",
    "👨‍👩‍👧",
    "\u202e",
  ],
  ...["production", "latest", "new", "metrics", "p", "a/reply", "key_1"],
];

const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...PIECES) },
  { weight: 2, arbitrary: fc.string({ unit: "binary-ascii", maxLength: 6 }) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 6 }) },
);

const short = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));

/** One thing said very often: what is not linear in it is found to hang. */
const repeated = fc
  .tuple(short, piece, fc.constantFrom(100, 3000, 60_000), short)
  .map(([before, text, times, after]) => before + text.slice(0, 20).repeat(times) + after);

/** A well-formed text, which is seldom very long. */
export const text = fc.oneof({ weight: 300, arbitrary: short }, { weight: 1, arbitrary: repeated });

/** A text as JSON can spell it: it may hold halves of surrogates. */
export const brokenText = fc.oneof(
  { weight: 9, arbitrary: text },
  {
    weight: 1,
    arbitrary: fc
      .tuple(short, fc.constantFrom("\ud800", "\udc00", "\udfff\ud83d"), short)
      .map((parts) => parts.join("")),
  },
);
