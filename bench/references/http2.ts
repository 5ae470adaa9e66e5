/** gRPC's framing on bare `node:http2`, with the one answer that it is started with. Prints its address. */

import { readFileSync } from "node:fs";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";

const [, , file = ""] = process.argv;
const bytes = readFileSync(file);
const frame = Buffer.alloc(5 + bytes.length);
frame.writeUInt32BE(bytes.length, 1);
bytes.copy(frame, 5);

const server = createServer();
server.on("stream", (stream) => {
  stream.resume();
  stream.once("end", () => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc+proto" },
      { waitForTrailers: true },
    );
    stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame);
  });
});
server.listen(0, "127.0.0.1", () => {
  console.log(`127.0.0.1:${(server.address() as AddressInfo).port}`);
});
