import { isUtf8 } from "node:buffer";
import { PromptdError } from "../core/errors.ts";

/**
 * Bytes as text, nothing added and nothing lost: a byte order mark stays.
 *
 * @throws invalid with the offset of the first byte that is not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("utf8");
  if (isUtf8(buffer)) return text;
  const offset = firstInvalidByte(buffer, text);
  throw new PromptdError(
    "invalid",
    `byte ${offset} is not UTF-8 (0x${buffer.toString("hex", offset, offset + 1)}): save the file as UTF-8`,
  );
}

/** Decoding put a U+FFFD where a byte was invalid; the first that the bytes do not hold tells where. */
function firstInvalidByte(buffer: Buffer, lossy: string): number {
  let offset = 0;
  for (let from = 0; ; ) {
    const at = lossy.indexOf("\ufffd", from);
    offset += Buffer.byteLength(lossy.slice(from, at));
    if (buffer.toString("latin1", offset, offset + 3) !== "\u00ef\u00bf\u00bd") return offset;
    offset += 3;
    from = at + 1;
  }
}

/** The text without a byte order mark, for syntax that does not know one. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** What JSON.parse quotes: of a template, or of the values of variables. Errors end in logs and do not hold it. */
const JSON_QUOTE = /, (\.{3})?".*"(\.{3})? is not valid JSON$/s;

/** @throws invalid where it is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(withoutByteOrderMark(text));
  } catch (thrown) {
    const reason = (thrown as Error).message.replace(JSON_QUOTE, "");
    throw new PromptdError("invalid", `not JSON: ${reason}`);
  }
}

/** An `invalid` error at a line of the file, counted from 1. */
export function invalidLine(line: number, message: string): PromptdError {
  return new PromptdError("invalid", `line ${line}: ${message}`);
}
