/**
 * HTTP/2 by hand (RFC 9113, RFC 7541), for peers that do what no client does.
 */

import net from "node:net";

export const FRAME = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  goAway: 7,
  continuation: 9,
} as const;

export const END_STREAM = 1;
export const END_HEADERS = 4;

/** A frame (RFC 9113, section 4.1). */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Header fields that no table remembers (RFC 7541, section 6.2.2); texts of at most 126 bytes. */
export function headerBlock(headers: Iterable<readonly [name: string, value: string]>): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const fields = Array.from(headers, ([name, value]) => [
    Buffer.from([0]),
    text(name),
    text(value),
  ]);
  return Buffer.concat(fields.flat());
}

/** The headers of a call of GetPrompt, on one stream. */
export function getPromptHeaders(stream: number): Buffer {
  const block = headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/promptd.v1.PromptService/GetPrompt"],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ]);
  return frame(FRAME.headers, END_HEADERS, stream, block);
}

/** A connection that has sent its preface and settings, and reads frames without obeying them. */
export class RawConnection {
  readonly socket: net.Socket;
  #buffered: Buffer = Buffer.alloc(0);

  /**
   * @param settings numbers and values of RFC 9113, section 6.5.2
   * @param onFrame told of each frame's type and flags
   */
  constructor(
    port: number,
    settings: readonly [id: number, value: number][],
    onFrame: (type: number, flags: number) => void = () => {},
  ) {
    this.socket = net.connect(port, "127.0.0.1");
    this.socket.on("error", () => {});
    this.socket.on("data", (bytes) => {
      this.#buffered = Buffer.concat([this.#buffered, bytes]);
      while (this.#buffered.length >= 9) {
        const end = 9 + this.#buffered.readUIntBE(0, 3);
        if (this.#buffered.length < end) break;
        onFrame(this.#buffered.readUInt8(3), this.#buffered.readUInt8(4));
        this.#buffered = this.#buffered.subarray(end);
      }
    });
    const payload = Buffer.alloc(6 * settings.length);
    settings.forEach(([id, value], index) => {
      payload.writeUInt16BE(id, 6 * index);
      payload.writeUInt32BE(value, 6 * index + 2);
    });
    this.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    this.socket.write(frame(FRAME.settings, 0, 0, payload));
  }
}
