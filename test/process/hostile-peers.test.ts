import { execSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  END_STREAM,
  FRAME,
  frame,
  getPromptHeaders,
  headerBlock,
  RawConnection,
} from "../support/http2-frames.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let service: ServiceProcess;
let dataDir: string;

/** What peers may hold, so that the tests reach it soon. */
const CALL_MEMORY_MIB = 32;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-hostile-"));
  service = await spawnService({
    PROMPTD_DATA_DIR: dataDir,
    PROMPTD_CALL_MEMORY: `${CALL_MEMORY_MIB}MiB`,
  });
  await put("small", "a prompt");
  await put("large", "x".repeat(2 ** 20));
});

afterEach(async () => {
  await service.stop("SIGKILL");
  await rm(dataDir, { recursive: true });
});

const put = (name: string, value: string) =>
  service.prompts.createVersion({
    name,
    template: { case: "text", value },
    labels: ["production"],
  });

/** A well-behaved caller on a connection of its own, while the work goes on; it must always be answered. */
async function whileCalled<Result>(work: () => Promise<Result>): Promise<Result> {
  let over = false;
  const calls = (async () => {
    let answered = 0;
    while (!over || answered < 20) {
      const { prompt } = await service.prompts.getPrompt({ name: "small" }, { timeoutMs: 10_000 });
      expect(prompt?.template.value).toBe("a prompt");
      answered++;
    }
  })();
  try {
    return await work();
  } finally {
    over = true;
    await calls;
  }
}

async function memoryMiB(): Promise<number> {
  const status = await readFile(`/proc/${service.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/**
 * Opens connections of which each makes the service hold so many bytes, and waits
 * until no more are left than it may hold.
 */
async function untilCut(
  connections: number,
  bytes: number,
  connect: (onFrame: (type: number) => void) => RawConnection,
): Promise<void> {
  const left = Math.floor((CALL_MEMORY_MIB * 2 ** 20) / bytes);
  const opened: RawConnection[] = [];
  try {
    await new Promise<void>((done) => {
      let cut = 0;
      const onFrame = (type: number) => {
        if (type === FRAME.resetStream && ++cut === connections - left) done();
      };
      for (let i = 0; i < connections; i++) opened.push(connect(onFrame));
    });
  } finally {
    for (const { socket } of opened) socket.destroy();
  }
}

const port = (address: string) => Number(address.split(":").at(-1));

/** GetPrompt of a prompt whose name has five letters, as gRPC frames it. */
const ask = (name: "small" | "large") =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, 7, 0x0a, 5]), Buffer.from(name)]);

describe("a well-behaved caller is answered beside", () => {
  it("peers that open streams and reset them at once", async () => {
    await whileCalled(async () => {
      for (let connection = 0; connection < 10; connection++) {
        let refused = false;
        const onFrame = (type: number) => {
          if (type === FRAME.goAway) refused = true;
        };
        const { socket } = new RawConnection(port(service.grpcAddress), [], onFrame);
        // After a thousand or so the service takes no more of them on this connection.
        for (let stream = 1; !refused; stream += 2) {
          expect(stream).toBeLessThan(100_000);
          const cancel = Buffer.from([0, 0, 0, 8]);
          socket.write(getPromptHeaders(stream));
          socket.write(frame(FRAME.resetStream, 0, stream, cancel));
          if (stream % 500 === 1) await wait(0);
        }
        socket.destroy();
      }
    });
  });

  it("peers that never take their answers, of which only so many are kept", async () => {
    const before = await memoryMiB();
    await whileCalled(async () => {
      // A gigabyte in all.
      const initialWindowSize: [number, number] = [4, 0];
      await untilCut(1000, 2 ** 20, (count) => {
        const connection = new RawConnection(port(service.grpcAddress), [initialWindowSize], count);
        connection.socket.write(getPromptHeaders(1));
        connection.socket.write(frame(FRAME.data, END_STREAM, 1, ask("large")));
        return connection;
      });
    });
    expect((await memoryMiB()) - before).toBeLessThan(700);
  });

  it("peers that send a part of a request and wait", async () => {
    const before = await memoryMiB();
    await whileCalled(async () => {
      const half = Buffer.alloc(60_000);
      half.writeUInt32BE(2 ** 21, 1);
      await untilCut(1000, half.length, (count) => {
        const connection = new RawConnection(port(service.grpcAddress), [], count);
        connection.socket.write(getPromptHeaders(1));
        for (let at = 0; at < half.length; at += 15_000) {
          connection.socket.write(frame(FRAME.data, 0, 1, half.subarray(at, at + 15_000)));
        }
        return connection;
      });
    });
    expect((await memoryMiB()) - before).toBeLessThan(700);
  });

  it("connections that ask for far more at once than they may, of which all but that is refused", async () => {
    const before = await memoryMiB();
    let most = before;
    let over = false;
    const watching = (async () => {
      for (; !over; await wait(20)) most = Math.max(most, await memoryMiB());
    })();
    // On each connection ten times what it may have open; what may be is within the memory of calls.
    const connections = 15;
    const streams = 1000;
    await whileCalled(async () => {
      const opened: RawConnection[] = [];
      let ended = 0;
      const flood = Array.from({ length: streams }, (_, i) => [
        getPromptHeaders(2 * i + 1),
        frame(FRAME.data, END_STREAM, 2 * i + 1, ask("small")),
      ]);
      const bytes = Buffer.concat(flood.flat());
      await new Promise<void>((done) => {
        const onFrame = (type: number, flags: number) => {
          if (type !== FRAME.resetStream && (flags & END_STREAM) === 0) return;
          if (++ended === connections * streams) done();
        };
        for (let i = 0; i < connections; i++) {
          const connection = new RawConnection(port(service.grpcAddress), [], onFrame);
          connection.socket.write(bytes);
          opened.push(connection);
        }
      });
      for (const { socket } of opened) socket.destroy();
    });
    over = true;
    await watching;
    expect(most - before).toBeLessThan(400);
  });

  it("100,000 headers, which are refused on both ports", async () => {
    await whileCalled(async () => {
      const names = Array.from({ length: 100_000 }, (_, i) => `x-${i}`);
      const { socket: flood } = new RawConnection(port(service.grpcAddress), []);
      const closed = new Promise((done) => flood.once("close", done));
      flood.write(frame(FRAME.headers, 0, 1));
      for (let i = 0; i < names.length; i += 1000) {
        const block = headerBlock(names.slice(i, i + 1000).map((name) => [name, "1"]));
        flood.write(frame(FRAME.continuation, 0, 1, block));
      }
      await closed;

      const [host, httpPort] = service.httpAddress.split(":");
      const socket = net.connect(Number(httpPort), host);
      socket.on("error", () => {});
      let answer = "";
      socket.on("data", (bytes) => {
        answer += bytes;
      });
      const lines = names.map((name) => `${name}: 1\r\n`);
      socket.write(`GET /healthz HTTP/1.1\r\nhost: localhost\r\n${lines.join("")}\r\n`);
      await new Promise((done) => socket.once("close", done));
      expect(answer).toMatch(/^HTTP\/1.1 431 /);
    });
  });

  // Both ends of each connection are open files.
  const enough =
    Number(execSync("ulimit -Hn", { encoding: "utf8" }).replace("unlimited", "1e9")) > 11_000;
  const skipped = enough ? "" : " (skipped: too few open files are allowed)";
  it.skipIf(!enough)(`10,000 connections that say nothing${skipped}`, async () => {
    const sockets: net.Socket[] = [];
    try {
      await whileCalled(async () => {
        for (const address of [service.grpcAddress, service.httpAddress]) {
          for (let batch = 0; batch < 10; batch++) {
            const opened = Array.from({ length: 500 }, () =>
              net.connect(port(address), "127.0.0.1"),
            );
            sockets.push(...opened);
            await Promise.all(opened.map((socket) => once(socket, "connect")));
          }
        }
      });
      const { prompt } = await service.prompts.getPrompt({ name: "small" });
      expect(prompt?.name).toBe("small");
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});
