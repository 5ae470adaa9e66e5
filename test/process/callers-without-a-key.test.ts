import { mkdtemp, readFile, rm } from "node:fs/promises";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeyService, Scope } from "../../gen/promptd/v1/key_service_pb.ts";
import { backup, restore } from "../../src/store/backup.ts";
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  headerBlock,
  RawConnection,
} from "../support/http2-frames.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";

let dataDir: string;
let service: ServiceProcess;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "promptd-no-key-"));
  service = await spawnService({ PROMPTD_DATA_DIR: dataDir, PROMPTD_CALL_MEMORY: "16MiB" });
});

afterEach(async () => {
  await service.stop("SIGKILL");
  await rm(dataDir, { recursive: true });
});

async function makeKey(): Promise<string> {
  const transport = createGrpcTransport({ baseUrl: `http://${service.grpcAddress}` });
  const { secret } = await createClient(KeyService, transport).createKey({
    name: "k",
    scopes: [Scope.READ],
  });
  return secret;
}

async function memoryMiB(): Promise<number> {
  const status = await readFile(`/proc/${service.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

describe("of a caller without a key", () => {
  /** Two million empty requests, which take 300 MB once they are decoded. */
  const bomb = Buffer.alloc(2 ** 22 - 16, Buffer.from([0x0a, 0x00]));

  it("nothing is decoded over Connect, and each protocol is answered in its own way", async () => {
    await makeKey();
    const before = await memoryMiB();
    const url = `http://${service.httpAddress}/promptd.v1.PromptService/BatchGetPrompts`;
    for (let i = 0; i < 10; i++) {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/proto", "content-encoding": "gzip" },
        body: gzipSync(bomb),
      });
      expect(response.status).toBe(401);
    }
    for (const type of ["application/json", "application/proto", "application/grpc-web+proto"]) {
      const headers = { "content-type": type };
      const response = await fetch(url, { method: "POST", headers, body: "not read at all" });
      const text = `${response.headers.get("grpc-status")} ${await response.text()}`;
      expect(text).toMatch(/unauthenticated|^16 |grpc-status: 16/);
    }
    expect((await memoryMiB()) - before).toBeLessThan(200);
  });

  it("nothing is decoded over gRPC", async () => {
    await makeKey();
    const before = await memoryMiB();
    const session = http2.connect(`http://${service.grpcAddress}`);
    for (let i = 0; i < 10; i++) {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bomb.length, 1);
      const stream = session.request({
        ":method": "POST",
        ":path": "/promptd.v1.PromptService/BatchGetPrompts",
        "content-type": "application/grpc",
        te: "trailers",
      });
      const status = new Promise((resolve) => {
        stream.once("response", (headers) => headers["grpc-status"] && resolve(headers));
        stream.once("trailers", resolve);
      });
      stream.resume().end(Buffer.concat([head, bomb]));
      expect(await status).toMatchObject({ "grpc-status": "16" });
    }
    session.destroy();
    expect((await memoryMiB()) - before).toBeLessThan(200);
  });

  it("streams that only wait are cut once they are too many, over all connections", async () => {
    const secret = await makeKey();
    const headers = headerBlock([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", "/grpc.health.v1.Health/Watch"],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ]);
    const port = Number(service.grpcAddress.split(":").at(-1));
    const connections: RawConnection[] = [];
    // Of sixteen thousand 1024 fit into the bound.
    await new Promise<void>((done) => {
      let cut = 0;
      for (let i = 0; i < 16; i++) {
        const connection = new RawConnection(port, [], (type) => {
          if (type === FRAME.resetStream && ++cut === 16_000 - 1024) done();
        });
        connections.push(connection);
        for (let stream = 1; stream < 2000; stream += 2) {
          connection.socket.write(frame(FRAME.headers, END_HEADERS, stream, headers));
          connection.socket.write(frame(FRAME.data, END_STREAM, stream, Buffer.alloc(5)));
        }
      }
    });
    const asked = service.prompts.listPrompts({}, { headers: { "x-api-key": secret } });
    expect((await asked).prompts).toEqual([]);
    for (const { socket } of connections) socket.destroy();
  });

  it("none is let in by a restore of a copy without keys", async () => {
    const database = join(dataDir, "promptd.db");
    const copy = join(dataDir, "copy.db");
    await backup(database, copy);
    const secret = await makeKey();
    const code = (headers: Record<string, string>) =>
      service.prompts.listPrompts({}, { headers }).then(
        () => "OK",
        (thrown) => Code[ConnectError.from(thrown).code],
      );
    expect(await code({ "x-api-key": secret })).toBe("OK");
    expect(await code({})).toBe("Unauthenticated");
    await restore(database, copy);
    await vi.waitFor(async () =>
      expect(await code({ "x-api-key": secret })).toBe("Unauthenticated"),
    );
    expect(await code({})).toBe("Unauthenticated");
  });
});
