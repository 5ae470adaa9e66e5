/** gRPC over HTTP/2, on @grpc/grpc-js. */

import { X509Certificate } from "node:crypto";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { PeerCertificate, TlsOptions } from "node:tls";
import { type DescFile, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  setLogger,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { PromptdError } from "../core/errors.ts";
import {
  type Arrival,
  CallFailure,
  type Calls,
  DEADLINE_PASSED,
  MESSAGE_LIMIT_BYTES,
  originOf,
  type Served,
} from "./calls.ts";
import { EndlessStreams } from "./endless-streams.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";
import { statusDetails } from "./status.ts";

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
  options: { maxConnectionAgeMs: number; graceMs: number; tls?: TlsOptions | undefined },
): GrpcServer {
  setLogger({
    error: (message) => log.warn(String(message)),
    info: (message) => log.info(String(message)),
    debug: (message) => log.debug(String(message)),
  });
  const streams = new EndlessStreams();
  const bounded = new BoundedStreams(openCalls);
  const server = new Server({
    interceptors: [bounded.interceptor, streams.interceptor],
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
        requestSerialize: (message: Message) => Buffer.from(toBinary(desc.input, message)),
        requestDeserialize: (bytes: Buffer) => {
          try {
            return fromBinary(desc.input, bytes);
          } catch (error) {
            // grpc-js answers with INTERNAL.
            calls.refused(desc, "grpc", "INTERNAL");
            throw error;
          }
        },
        responseSerialize: (response: Message | Uint8Array) =>
          asBuffer(response instanceof Uint8Array ? response : toBinary(desc.output, response)),
        responseDeserialize: (bytes: Buffer) => fromBinary(desc.output, bytes),
      };
      handlers[desc.localName] = async (
        call: ServerUnaryCall<Message, Message | Uint8Array>,
        answer: sendUnaryData<Message | Uint8Array>,
      ) => {
        try {
          const response = await calls.run(method, "grpc", call.request, new GrpcArrival(call));
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
  new ReflectionService(packageDefinition(served)).addToServer(server);

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
        const cutOff = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(cutOff);
          resolve();
        });
      }),
  };
}

/** Lets `OpenCalls` see what the streams of HTTP/2 hold, and cut them. */
class BoundedStreams {
  readonly #openCalls: OpenCalls;
  /** By its metadata, which is all that the interceptor and the handler of a call share. */
  readonly #calls = new WeakMap<Metadata, OpenCall>();

  constructor(openCalls: OpenCalls) {
    this.#openCalls = openCalls;
  }

  readonly interceptor: ServerInterceptor = (method, call) => {
    // grpc-js shows neither, and nothing else tells what is received or cuts a stream.
    const { stream, metadata } = call as unknown as {
      stream: ServerHttp2Stream;
      metadata: Metadata;
    };
    const open = this.#openCalls.open(() => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM));
    this.#calls.set(metadata, open);
    stream.on("data", (bytes: Buffer) => this.#openCalls.hold(open, bytes.length));
    // An answer that goes on until somebody ends it is not bounded in time.
    const endless = method.responseStream && !method.requestStream;
    stream.once(endless ? "end" : "close", () => this.#openCalls.close(open));
    return call as ServerInterceptingCall;
  };

  /** Counts bytes that are sent to the peer. */
  hold({ metadata }: { metadata: Metadata }, bytes: number): void {
    const open = this.#calls.get(metadata);
    if (open !== undefined) this.#openCalls.hold(open, bytes);
  }
}

/** Certificates that can be replaced while the server runs. What grpc-js has for that reads files itself, unchecked. */
class TlsCredentials extends ServerCredentials {
  constructor(tls: TlsOptions) {
    super(tls, tls);
  }

  renew(tls: TlsOptions): void {
    this.updateSecureContextOptions(tls);
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

/** Makes an abort signal only for a method that looks at it. */
class GrpcArrival implements Arrival {
  readonly #call: ServerUnaryCall<Message, Message | Uint8Array>;
  #signal: AbortSignal | undefined;

  constructor(call: ServerUnaryCall<Message, Message | Uint8Array>) {
    this.#call = call;
  }

  readonly header = (name: string): string | undefined => {
    const [value] = this.#call.metadata.get(name);
    return typeof value === "string" ? value : undefined;
  };

  get origin(): string | undefined {
    // ADDRESS:PORT, or `unknown`.
    return originOf(/^(.+):\d+$/.exec(this.#call.getPeer())?.[1]);
  }

  get certificate(): X509Certificate | undefined {
    const { sslPeerCertificate } = this.#call.getAuthContext();
    return sslPeerCertificate && parsed(sslPeerCertificate);
  }

  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const controller = new AbortController();
      this.#signal = controller.signal;
      const abort = () => controller.abort(this.#reason());
      if (this.#call.cancelled) abort();
      else this.#call.once("cancelled", abort);
    }
    return this.#signal;
  }

  #reason(): PromptdError | undefined {
    const late = Number(this.#call.getDeadline()) <= Date.now();
    return late ? new PromptdError("deadline", DEADLINE_PASSED) : undefined;
  }
}

/** By fingerprint: a client shows the same one on each call, and parsing takes 0.1 ms. */
const certificates = new LRUCache<string, X509Certificate>({ max: 1000 });

function parsed({ fingerprint256, raw }: PeerCertificate): X509Certificate {
  const known = certificates.get(fingerprint256);
  if (known !== undefined) return known;
  const certificate = new X509Certificate(raw);
  certificates.set(fingerprint256, certificate);
  return certificate;
}

function serviceError(thrown: unknown) {
  if (!(thrown instanceof CallFailure)) throw thrown;
  const metadata = new Metadata();
  const details = statusDetails(thrown.status);
  if (details !== undefined) metadata.set("grpc-status-details-bin", asBuffer(details));
  return { code: thrown.status.code as number, details: thrown.status.message, metadata };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * What is served, health and the details of errors included, in the form that the reflection service
 * takes: it reads nothing but the files. They are those of the contract, because
 * what proto-loader makes of them again has names that Go's clients cannot
 * resolve.
 */
function packageDefinition(served: readonly Served[]): PackageDefinition {
  const files = new Map<string, Buffer>();
  const add = (file: DescFile) => {
    for (const dependency of file.dependencies) add(dependency);
    files.set(file.name, asBuffer(toBinary(FileDescriptorProtoSchema, file.proto)));
  };
  for (const { service } of served) add(service.file);
  add(Health.file);
  add(BadRequestSchema.file);
  const fileDescriptorProtos = [...files.values()];
  return { files: { fileDescriptorProtos } } as unknown as PackageDefinition;
}
