/** gRPC over HTTP/2, on @grpc/grpc-js. */

import type { TlsOptions } from "node:tls";
import { type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  setLogger,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import { PromptdError } from "../core/errors.ts";
import { BoundedStreams } from "./bounded-streams.ts";
import { CallFailure, type Calls } from "./calls.ts";
import { EndlessStreams } from "./endless-streams.ts";
import { GrpcArrival, signalOf } from "./grpc-arrival.ts";
import { serviceError } from "./grpc-status.ts";
import { requireFewElements } from "./message-elements.ts";
import type { OpenCalls } from "./open-calls.ts";
import { plainRequest } from "./plain-requests.ts";
import { keyedReflection, reflectionService } from "./reflection.ts";
import { MESSAGE_LIMIT_BYTES, requestLimit, type Served } from "./served.ts";
import { TlsCredentials } from "./tls-credentials.ts";

export interface GrpcServer {
  /** Binds and serves; answers with the port, which matters where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** Shows new connections other certificates. Only for a server that was made with some. */
  renew(tls: TlsOptions): void;
  /**
   * Tells health checks NOT_SERVING, takes no new calls, lets those in flight
   * end, and cuts them off after `graceMs`.
   */
  close(graceMs: number): Promise<void>;
}

export interface GrpcServerOptions {
  maxConnectionAgeMs: number;
  graceMs: number;
  tls: TlsOptions | undefined;
  /** Answers reflection without a key. */
  openReflection: boolean;
}

/**
 * More are refused, and clients let them wait. One read takes in all that a
 * connection may have open: were it as much as fills the read, the turn would go
 * on reading from it, and nothing of what is answered would be freed.
 */
const STREAMS_PER_CONNECTION = 100;

/** What one connection may hold in megabytes, its unsent answers included, before its new streams are refused. */
const CONNECTION_MEMORY_MB = 16;

/** By then a connection that was breaking is gone. */
const BREAKING_MS = 100;

/** @param log takes what grpc-js has to say, which would else go to the console */
export function grpcServer(
  served: readonly Served[],
  calls: Calls,
  openCalls: OpenCalls,
  log: Logger,
  options: GrpcServerOptions,
): GrpcServer {
  setLogger({
    error: (message) => log.warn(String(message)),
    info: (message) => log.info(String(message)),
    debug: (message) => log.debug(String(message)),
  });
  const own = served.flatMap(({ streams }) => streams.map(({ desc }) => pathOf(desc)));
  const streams = new EndlessStreams(new Set(own));
  const bounded = new BoundedStreams(openCalls, (path) =>
    calls.refused({ rpc: path.slice(path.lastIndexOf(".") + 1) }, "grpc", "RESOURCE_EXHAUSTED"),
  );
  const server = new Server({
    interceptors: [
      bounded.interceptor,
      streams.interceptor,
      ...(options.openReflection ? [] : [keyedReflection(calls)]),
    ],
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
    "grpc-node.max_session_memory": CONNECTION_MEMORY_MB,
    "grpc.max_receive_message_length": MESSAGE_LIMIT_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.max_connection_age_ms": options.maxConnectionAgeMs,
    "grpc.max_connection_age_grace_ms": options.graceMs,
    // A peer that vanished without a word is noticed within a minute.
    "grpc.keepalive_time_ms": 40_000,
    "grpc.keepalive_timeout_ms": 20_000,
    // Nobody can ask for its counts here, which each call would add to.
    "grpc.enable_channelz": 0,
  });
  for (const { methods, streams: streamed } of served) {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: UntypedServiceImplementation = {};
    for (const method of methods) {
      const { desc } = method;
      definition[desc.localName] = definitionOf(desc);
      handlers[desc.localName] = async (
        call: ServerUnaryCall<Buffer, Message | Uint8Array>,
        answer: sendUnaryData<Message | Uint8Array>,
      ) => {
        try {
          const arrival = new GrpcArrival(call, () => signalOf(call));
          const read = () => decoded(desc, call.request);
          const response = await calls.run(method, "grpc", read, arrival);
          if (response instanceof Uint8Array) bounded.hold(call, response.byteLength);
          answer(null, response);
        } catch (thrown) {
          answer(serviceError(thrown));
        }
      };
    }
    for (const stream of streamed) {
      const { desc } = stream;
      definition[desc.localName] = definitionOf(desc);
      handlers[desc.localName] = async (call: ServerWritableStream<Buffer, Uint8Array>) => {
        try {
          const arrival = new GrpcArrival(call, () => signalOf(call));
          const read = () => decoded(desc, call.request);
          const messages = calls.stream(stream, "grpc", read, arrival, bounded.of(call));
          for await (const message of messages) await taken(call, message);
          call.end();
        } catch (thrown) {
          if (!call.cancelled) call.emit("error", serviceError(thrown));
        }
      };
    }
    server.addService(definition, handlers);
  }
  const names = ["", ...served.map(({ service }) => service.typeName)];
  const health = new HealthImplementation(Object.fromEntries(names.map((n) => [n, "SERVING"])));
  health.addToServer(server);
  reflectionService(served).addToServer(server);

  const secure = options.tls && new TlsCredentials(options.tls);
  const credentials = secure ?? ServerCredentials.createInsecure();
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
        server.bindAsync(authority, credentials, (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        );
      }),
    renew: (tls) => secure?.renew(tls),
    close: (graceMs) =>
      new Promise((resolve) => {
        for (const name of names) health.setStatus(name, "NOT_SERVING");
        streams.end();
        const closed = () => {
          clearTimeout(cutOff);
          clearTimeout(again);
          resolve();
        };
        const cutOff = setTimeout(() => {
          server.forceShutdown();
          // grpc-js goes on waiting for connections that never finished their TLS handshake.
          closed();
        }, graceMs);
        // It also does for a connection that is just breaking, and has forgotten it when it is asked again.
        const again = setTimeout(() => server.tryShutdown(closed), BREAKING_MS);
        server.tryShutdown(closed);
      }),
  };
}

function definitionOf(desc: DescMethod): ServiceDefinition[string] {
  return {
    path: pathOf(desc),
    requestStream: false,
    responseStream: desc.methodKind === "server_streaming",
    requestSerialize: (bytes: Buffer) => bytes,
    // Decoded once its caller was let in.
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (response: Message | Uint8Array) =>
      asBuffer(response instanceof Uint8Array ? response : toBinary(desc.output, response)),
    responseDeserialize: (bytes: Buffer) => fromBinary(desc.output, bytes),
  };
}

function pathOf({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

/** Waits until a message has left for its peer, or never will. */
function taken(call: ServerWritableStream<Buffer, Uint8Array>, message: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    call.once("close", resolve);
    call.write(message, () => {
      call.off("close", resolve);
      resolve();
    });
  });
}

/** @throws CallFailure for bytes that are no such message, as gRPC's status codes have it; too_large */
function decoded(desc: DescMethod, bytes: Buffer): Message {
  const most = requestLimit(desc);
  if (bytes.byteLength > most) {
    const message = `the request has ${bytes.byteLength} bytes: at most ${most} are read here`;
    throw new PromptdError("too_large", message);
  }
  requireFewElements(desc.input, bytes);
  try {
    return plainRequest(desc.input, bytes) ?? fromBinary(desc.input, bytes);
  } catch {
    throw new CallFailure(new PromptdError("internal", "the request cannot be decoded"));
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  if (bytes instanceof Buffer) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
