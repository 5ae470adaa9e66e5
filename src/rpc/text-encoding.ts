import { configureTextEncoding } from "@bufbuild/protobuf/wire";

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

// Protobuf-ES drops a U+FEFF at the start of every string that it decodes, and
// a template is answered as it came. This module is imported for that alone.
configureTextEncoding({
  encodeUtf8: (text) => encoder.encode(text),
  decodeUtf8: (bytes, isStrict) => (isStrict ? strict : lenient).decode(bytes),
  checkUtf8: (text) => text.isWellFormed(),
});
