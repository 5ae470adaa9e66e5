import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { isConnectionFault, withService } from "../../src/client/service.ts";
import { PromptdError } from "../../src/core/errors.ts";

/** What the service is asked for. */
const NAME = "what/nobody/has";

/** What a call comes to at an address where a connection is treated so, each time that something is heard. */
async function thrownAt(heard: (socket: Socket, bytes: Buffer) => void): Promise<PromptdError> {
  const server = createServer((socket) => {
    socket.on("error", () => {}).on("data", (bytes) => heard(socket, bytes));
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await withService({ address, timeoutMs: 5000, tls: {} }, ({ prompts }) =>
      prompts.getPrompt({ name: NAME }),
    );
  } catch (thrown) {
    return PromptdError.from(thrown);
  }
  throw new Error("the call was answered");
}

it("finds no service where a connection is reset that waits for an answer", async () => {
  const error = await thrownAt((socket, bytes) => {
    // Once the caller has nothing more to write, so that it reads of the reset.
    if (bytes.includes(NAME)) setTimeout(() => socket.resetAndDestroy(), 50);
  });
  expect(error.code).toBe("unavailable");
  expect(isConnectionFault(error)).toBe(true);
});

it("finds no service where a server does not speak HTTP/2", async () => {
  const error = await thrownAt((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  expect(error.code).toBe("unavailable");
  expect(isConnectionFault(error)).toBe(true);
});
