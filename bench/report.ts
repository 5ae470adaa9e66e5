/** What benchmarks print, and write to docs/benchmarks.md. */

import { readFileSync, writeFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";

const PAGE = "docs/benchmarks.md";

/** Puts a benchmark's section of the page in the place of its last one. */
export function report(name: string, text: string): void {
  console.log(text);
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const page = readFileSync(PAGE, "utf8");
  const [before, rest = ""] = page.split(begin);
  const [, after] = rest.split(end);
  if (after === undefined) throw new Error(`${PAGE} has no place for ${name}`);
  const when = new Date().toISOString().slice(0, 10);
  writeFileSync(
    PAGE,
    `${before}${begin}\n${text}\n\nMeasured ${when} on ${machine()}.\n${end}${after}`,
  );
}

/** Where it was measured, and with which Node. */
export function machine(): string {
  return `${cpus().length} cores of ${cpus()[0]?.model ?? "unknown"}, ${platform()} ${arch()}, Node ${process.versions.node}`;
}

/** A row of a table: a name, and p50, p99 and the greatest of some milliseconds. */
export function row(name: string, milliseconds: readonly number[]): string {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  const cells = [at(0.5), at(0.99), at(1)].map((value) => value.toFixed(value < 100 ? 1 : 0));
  return `| ${name} | ${sorted.length} | ${cells.join(" | ")} |`;
}
