/** gRPC over HTTP/2, on @grpc/grpc-js. */

import type { TlsOptions } from "node:tls";
import { type DescMethodUnary, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
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

/** More are refused: enough for a proxy that puts many callers on one connection. */
const STREAMS_PER_CONNECTION = 1000;

/** What one connection may hold in megabytes, its unsent answers included, before its new streams are refused. */
const CONNECTION_MEMORY_MB = 16;

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
  const streams = new EndlessStreams();
  const bounded = new BoundedStreams(openCalls);
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
  });
  for (const { service, methods } of served) {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: UntypedServiceImplementation = {};
    for (const method of methods) {
      const { desc } = method;
      definition[desc.localName] = {
        path: `/${service.typeName}/${desc.name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: (bytes: Buffer) => bytes,
        // Decoded once its caller was let in.
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (response: Message | Uint8Array) =>
          asBuffer(response instanceof Uint8Array ? response : toBinary(desc.output, response)),
        responseDeserialize: (bytes: Buffer) => fromBinary(desc.output, bytes),
      };
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
        const cutOff = setTimeout(() => {
          server.forceShutdown();
          // grpc-js goes on waiting for connections that never finished their TLS handshake.
          resolve();
        }, graceMs);
        server.tryShutdown(() => {
          clearTimeout(cutOff);
          resolve();
        });
      }),
  };
}

/** @throws CallFailure for bytes that are no such message, as gRPC's status codes have it; too_large */
function decoded(desc: DescMethodUnary, bytes: Buffer): Message {
  const most = requestLimit(desc);
  if (bytes.byteLength > most) {
    const message = `the request has ${bytes.byteLength} bytes: at most ${most} are read here`;
    throw new PromptdError("too_large", message);
  }
  requireFewElements(desc.input, bytes);
  try {
    return fromBinary(desc.input, bytes);
  } catch {
    throw new CallFailure(new PromptdError("internal", "the request cannot be decoded"));
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
