/**
 * Four clients that know nothing of the server but its contract. Each takes
 * Protobuf JSON and answers with Protobuf JSON, or with a status code's name,
 * so that what they see can be compared.
 */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { PromptService } from "../../gen/promptd/v1/prompt_service_pb.ts";

export type Json = Record<string, unknown>;

/** What a caller sees of an answer. */
export type Seen = { ok: Json } | { error: string; message: string };

export interface NeutralClient {
  name: string;
  call(method: string, request: Json): Promise<Seen>;
  close(): void;
}

/** PEM files for TLS: what the client trusts, and what it shows where the server asks. */
export interface ClientTls {
  ca: string;
  cert?: string;
  key?: string;
}

/** @grpc/proto-loader and grpc-js, from the files in proto/ and nothing else. */
export function protoLoaderClient(port: number, tls?: ClientTls): NeutralClient {
  const definition = loadSync("promptd/v1/prompt_service.proto", {
    includeDirs: ["proto"],
    enums: String,
    longs: String,
    oneofs: false,
  });
  const packages = grpc.loadPackageDefinition(definition) as unknown as {
    promptd: { v1: { PromptService: grpc.ServiceClientConstructor } };
  };
  const pem = tls && read(tls);
  const credentials = pem
    ? grpc.credentials.createSsl(pem.ca, pem.key, pem.cert)
    : grpc.credentials.createInsecure();
  const client = new packages.promptd.v1.PromptService(`127.0.0.1:${port}`, credentials);
  return {
    name: "@grpc/proto-loader",
    call: (method, request) =>
      new Promise((resolve) => {
        const unary = (client as unknown as Record<string, grpc.UntypedHandleCall>)[method];
        if (unary === undefined) throw new TypeError(`no method ${method}`);
        (unary as unknown as UnaryCall).call(client, wrapWellKnown(request), (error, response) => {
          if (error === null) resolve({ ok: unwrapWellKnown(response) as Json });
          else resolve({ error: grpc.status[error.code] ?? "", message: error.details });
        });
      }),
    close: () => client.close(),
  };
}

type UnaryCall = (
  request: unknown,
  done: (error: grpc.ServiceError | null, response: unknown) => void,
) => void;

/** The program curl, with JSON. */
export function curlClient(port: number, tls?: ClientTls): NeutralClient {
  const { ca, cert, key } = tls ?? {};
  const options = Object.entries({ cacert: ca, cert, key }).flatMap(([name, file]) =>
    file === undefined ? [] : [`--${name}`, file],
  );
  return {
    name: "curl",
    async call(method, request) {
      const path = `promptd.v1.PromptService/${method[0]?.toUpperCase()}${method.slice(1)}`;
      const { stdout } = await promisify(execFile)("curl", [
        "--silent",
        ...options,
        "--header",
        "content-type: application/json",
        "--data-binary",
        JSON.stringify(request),
        "--write-out",
        "\n%{http_code}",
        `${baseUrlOf(port, tls)}/${path}`,
      ]);
      const end = stdout.lastIndexOf("\n");
      const body = JSON.parse(stdout.slice(0, end)) as Json;
      if (stdout.slice(end + 1) === "200") return { ok: body };
      return { error: String(body.code).toUpperCase(), message: String(body.message ?? "") };
    },
    close() {},
  };
}

export function connectClient(port: number, tls?: ClientTls): NeutralClient {
  const baseUrl = baseUrlOf(port, tls);
  const nodeOptions = tls && read(tls);
  return generated(
    "Connect",
    createConnectTransport({ baseUrl, httpVersion: "1.1", ...(nodeOptions && { nodeOptions }) }),
  );
}

export function grpcWebClient(port: number): NeutralClient {
  const baseUrl = `http://127.0.0.1:${port}`;
  return generated("gRPC-Web", createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }));
}

function baseUrlOf(port: number, tls: ClientTls | undefined): string {
  return `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
}

/** The same, with what the files hold. */
export function read({ ca, cert, key }: ClientTls) {
  return {
    ca: readFileSync(ca),
    ...(cert !== undefined && { cert: readFileSync(cert) }),
    ...(key !== undefined && { key: readFileSync(key) }),
  };
}

function generated(name: string, transport: Transport): NeutralClient {
  const client = createClient(PromptService, transport) as unknown as Record<
    string,
    (request: unknown) => Promise<never>
  >;
  return {
    name,
    async call(method, request) {
      const desc = PromptService.methods.find(({ localName }) => localName === method);
      if (desc === undefined) throw new TypeError(`no method ${method}`);
      try {
        const response = await client[method]?.(fromJson(desc.input, request as never));
        return { ok: toJson(desc.output, response as never) as Json };
      } catch (thrown) {
        const { code, rawMessage } = ConnectError.from(thrown);
        const error = Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
        return { error, message: rawMessage };
      }
    },
    close() {},
  };
}

// proto-loader gives the well-known types as the messages that they are; JSON has a spelling of its own for them.

function wrapWellKnown(request: Json): Json {
  const { config, variables, ...rest } = request;
  return {
    ...rest,
    ...(config === undefined ? {} : { config: toValue(config) }),
    ...(variables === undefined ? {} : { variables: toStruct(variables as Json) }),
  };
}

function toStruct(record: Json): Json {
  return { fields: Object.fromEntries(Object.entries(record).map(([k, v]) => [k, toValue(v)])) };
}

function toValue(value: unknown): Json {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "number") return { numberValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  return { structValue: toStruct(value as Json) };
}

function unwrapWellKnown(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => unwrapWellKnown(item));
  if (typeof value !== "object" || value === null) return value;
  const record = value as Json;
  if (key === "config") return fromValue(record);
  if (key.endsWith("Time")) return fromTimestamp(record);
  return Object.fromEntries(Object.entries(record).map(([k, v]) => [k, unwrapWellKnown(v, k)]));
}

function fromValue(value: Json): unknown {
  if ("stringValue" in value) return value.stringValue;
  if ("numberValue" in value) return value.numberValue;
  if ("boolValue" in value) return value.boolValue;
  if ("listValue" in value)
    return (((value.listValue as Json).values as Json[]) ?? []).map(fromValue);
  if ("structValue" in value) {
    const fields = (value.structValue as { fields?: Record<string, Json> }).fields ?? {};
    return Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, fromValue(v)]));
  }
  return null;
}

function fromTimestamp({ seconds, nanos = 0 }: Json): string {
  return new Date(Number(seconds) * 1000 + Number(nanos) / 1e6).toISOString().replace(".000Z", "Z");
}
