import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { PromptdError } from "../core/errors.ts";

/** An element of a message takes about 150 bytes and half a microsecond once it is decoded. */
const MOST_ELEMENTS = 200_000;

/** Smaller messages hold few elements, whatever is in them. */
const COUNTED_BYTES = 256 * 1024;

/** As deep as the decoder goes. */
const MAX_DEPTH = 100;

/**
 * A few bytes can stand for an element that takes a hundred times as many in
 * memory, so what is decoded is bounded in elements too. Broken messages pass:
 * the decoder refuses them.
 *
 * @throws too_large
 */
export function requireFewElements(desc: DescMessage, bytes: Uint8Array): void {
  if (bytes.byteLength <= COUNTED_BYTES) return;
  const reader = new BinaryReader(bytes);
  let elements = 0;
  try {
    count(shapeOf(desc), bytes.byteLength, 0);
  } catch (thrown) {
    if (thrown instanceof PromptdError) throw thrown;
  }

  function count(shape: Shape, end: number, depth: number): void {
    while (reader.pos < end) {
      const [number, wireType] = reader.tag();
      const inner = wireType === WireType.LengthDelimited ? shape.get(number) : undefined;
      if (inner === undefined || depth === MAX_DEPTH) {
        reader.skip(wireType, number);
      } else if (inner === "numbers") {
        const from = reader.pos;
        reader.skip(wireType, number);
        elements += reader.pos - from;
      } else {
        const length = reader.uint32();
        count(inner(), reader.pos + length, depth + 1);
      }
      if (++elements > MOST_ELEMENTS) {
        const message = `the request has more than ${MOST_ELEMENTS} elements: send less at once`;
        throw new PromptdError("too_large", message);
      }
    }
  }
}

/** The fields of a message that hold more of them, or many numbers in one. */
type Shape = ReadonlyMap<number, (() => Shape) | "numbers">;

const shapes = new WeakMap<DescMessage, Shape>();

function shapeOf(desc: DescMessage): Shape {
  let shape = shapes.get(desc);
  if (shape === undefined) {
    shape = new Map(
      desc.fields.flatMap((field) => {
        const inner = innerOf(field);
        return inner === undefined ? [] : [[field.number, inner] as const];
      }),
    );
    shapes.set(desc, shape);
  }
  return shape;
}

function innerOf(field: DescField): (() => Shape) | "numbers" | undefined {
  const { message } = field;
  if (field.fieldKind === "map") {
    // An entry is a message itself; its value has the number 2.
    return () => (message === undefined ? new Map() : new Map([[2, () => shapeOf(message)]]));
  }
  if (message !== undefined) return () => shapeOf(message);
  return field.fieldKind === "list" && field.packed ? "numbers" : undefined;
}
