/** What is told of a place in a file, where code hosts show it. */

import { relative, resolve, sep } from "node:path";

interface Annotation {
  severity: "error" | "warning";
  /** As `shownPath` has it. */
  file: string;
  line: number;
  column?: number;
  title: string;
  message: string;
}

/** From the working directory where it lies below, as code hosts want it. */
export function shownPath(path: string): string {
  const below = relative(".", path);
  return below.startsWith("..") ? resolve(path) : below.split(sep).join("/");
}

/** A command to the runner of GitHub Actions, which shows it beside the line. */
export function annotation(told: Annotation): string {
  const { severity, file, line, column, title, message } = told;
  const properties = [
    `file=${escapedProperty(file)}`,
    `line=${line}`,
    ...(column === undefined ? [] : [`col=${column}`]),
    `title=${escapedProperty(`promptd ${title}`)}`,
  ];
  return `::${severity} ${properties.join(",")}::${escaped(message)}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapedProperty(text: string): string {
  return escaped(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
