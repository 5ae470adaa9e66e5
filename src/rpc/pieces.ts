import type { DescField } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";

/** Such texts are put down faster one by one than by native code. */
const SHORT_UNITS = 64;

/**
 * A message of Protobuf as it is put together. It is written when it is whole, and
 * all of it at once: what was encoded before is copied once, however deep it is in.
 */
export class Pieces {
  /** Numbers are varints. */
  readonly #pieces: (number | string | Uint8Array | Pieces)[] = [];
  #length = 0;

  /** Fields that were encoded before. */
  encoded(bytes: Uint8Array): this {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  /** @param value below 2^53 */
  number({ number }: DescField, value: number): this {
    this.#varint((number << 3) | WireType.Varint);
    this.#varint(value);
    return this;
  }

  text(field: DescField, text: string): this {
    const length = Buffer.byteLength(text);
    this.#delimited(field, length);
    this.#pieces.push(text);
    this.#length += length;
    return this;
  }

  bytes(field: DescField, bytes: Uint8Array): this {
    this.#delimited(field, bytes.length);
    return this.encoded(bytes);
  }

  message(field: DescField, message: Pieces): this {
    this.#delimited(field, message.#length);
    this.#pieces.push(message);
    this.#length += message.#length;
    return this;
  }

  join(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#length);
    this.#put(bytes, 0);
    return bytes;
  }

  #delimited({ number }: DescField, length: number): void {
    this.#varint((number << 3) | WireType.LengthDelimited);
    this.#varint(length);
  }

  #varint(value: number): void {
    this.#pieces.push(value);
    for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) this.#length++;
    this.#length++;
  }

  #put(bytes: Buffer, start: number): number {
    let at = start;
    for (const piece of this.#pieces) {
      if (typeof piece === "number") {
        at = putVarint(bytes, at, piece);
      } else if (typeof piece === "string") {
        at = putText(bytes, at, piece);
      } else if (piece instanceof Pieces) {
        at = piece.#put(bytes, at);
      } else {
        bytes.set(piece, at);
        at += piece.length;
      }
    }
    return at;
  }
}

/** Seven bits a byte. Returns where it ends. */
function putVarint(bytes: Buffer, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes[end++] = (rest % 0x80) | 0x80;
  bytes[end] = rest;
  return end + 1;
}

function putText(bytes: Buffer, at: number, text: string): number {
  if (text.length > SHORT_UNITS) return at + bytes.write(text, at);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return at + bytes.write(text, at);
    bytes[at + i] = unit;
  }
  return at + text.length;
}
