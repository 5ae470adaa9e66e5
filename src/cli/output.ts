/** How results are printed. */

import { type DescMessage, type MessageShape, toJson, toJsonString } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { LabelChange } from "../../gen/promptd/v1/change_service_pb.ts";
import { type LabelMove, LabelProtection } from "../../gen/promptd/v1/prompt_pb.ts";

/** A message in Protobuf's JSON, fields with default values included. */
export function messageJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string {
  return jsonDocument(toJson(schema, message, { alwaysEmitImplicit: true }));
}

/** As `messageJson`, in one line. */
export function messageLine<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string {
  return `${toJsonString(schema, message, { alwaysEmitImplicit: true })}\n`;
}

/** A list of all pages, whose token would say that there is no more. */
export function listJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string {
  const json = toJson(schema, message, { alwaysEmitImplicit: true }) as Record<string, unknown>;
  const { nextPageToken: _, ...list } = json;
  return jsonDocument(list);
}

export function jsonDocument(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A text without line breaks, and without what would steer the terminal that shows it or is not seen there. */
export function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}\p{Cf}]+/gu, " ");
}

/** Of a hash, enough to find by. */
export function shortHash(hash: string): string {
  return hash.slice(0, 12);
}

/** Rows under a header, in columns as wide as their widest cell. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map(oneLine));
  const widths = header.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length)),
  );
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** `production=3 staging=4` */
export function labelsText(labels: readonly LabelMove[]): string {
  return labels.map(({ label, version }) => `${label}=${version}`).join(" ");
}

/** To the second, in UTC: sortable, and the same on every machine. */
export function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "" : dateText(timestampDate(time));
}

/** As `timeText`. */
export function dateText(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}

/** What became of a label: `production 3 -> 4`, or `(none)` where it is not there. */
export function moveText(label: string, from: number, to: number): string {
  const version = (number: number) => (number === 0 ? "(none)" : String(number));
  return `${label} ${version(from)} -> ${version(to)}`;
}

/** Each label that moves: `production 3 -> 4, canary 4 -> (none)` */
export function movesText(moves: readonly LabelChange[]): string {
  return moves
    .filter(({ fromVersion, toVersion }) => fromVersion !== toVersion)
    .map(({ label, fromVersion, toVersion }) => moveText(label, fromVersion, toVersion))
    .join(", ");
}

export function protectionText(protection: LabelProtection): string {
  switch (protection) {
    case LabelProtection.PROTECTED:
      return "protected";
    case LabelProtection.APPROVAL:
      return "protected, with approval";
    default:
      return "none";
  }
}

/** A chat for people: each message under the role that says it. */
export function chatText(items: readonly { heading: string; content?: string }[]): string {
  return items
    .map(({ heading, content }) => `[${heading}]\n${content === undefined ? "" : `${content}\n`}`)
    .join("\n");
}
