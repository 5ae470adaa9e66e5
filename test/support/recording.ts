/**
 * What a service is told in confidence, and what it says where that must not be.
 * Taken at the places in a process that every call passes, so that it does not
 * matter which client a test uses. Knows nothing of vitest: services in processes
 * of their own load it too.
 */

import diagnostics from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import { format } from "node:util";
import { fromBinary, isMessage, type Message } from "@bufbuild/protobuf";
import { BaseServerInterceptingCall } from "@grpc/grpc-js/build/src/server-interceptors.js";
import { Registry as Metrics } from "prom-client";
import {
  BatchGetPromptsResponseSchema,
  CompileRequestSchema,
  CreateVersionRequestSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { NewVersion } from "../../src/core/ports.ts";
import { CallFailure, Calls } from "../../src/rpc/calls.ts";
import type { Header } from "../../src/rpc/credentials.ts";
import { Registry } from "../../src/store/registry.ts";

export type Confided = "secret" | "template" | "value";

/** Where none of it may be. */
export type Output = "log" | "metrics" | "error" | "standard output" | "standard error" | "console";

export interface Recorder {
  confided(kind: Confided, text: string): void;
  said(output: Output, text: string): void;
}

/** Tells of everything in this process from here on. What it returns tells the metrics as they stand, once. */
export function record(recorder: Recorder): () => Promise<void> {
  recordCalls(recorder);
  recordStoredTemplates(recorder);
  recordGrpcErrors(recorder);
  recordHttpErrors(recorder);
  recordConsole(recorder);
  return recordMetrics(recorder);
}

/** The headers and requests that were read, and the failures of methods. */
function recordCalls(recorder: Recorder): void {
  const { run } = Calls.prototype;
  Calls.prototype.run = async function (served, transport, read, arrival) {
    for (const secret of secretsIn(arrival.header)) recorder.confided("secret", secret);
    const recorded = () => {
      const request = read();
      confideRequest(recorder, request);
      return request;
    };
    try {
      const response = await run.call(this, served, transport, recorded, arrival);
      if (served.desc.output.typeName === BatchGetPromptsResponseSchema.typeName) {
        const { items } = fromBinary(BatchGetPromptsResponseSchema, response as Uint8Array);
        for (const { result } of items) {
          if (result.case === "error") recorder.said("error", result.value.message);
        }
      }
      return response;
    } catch (thrown) {
      recordFailure(recorder, thrown);
      throw thrown;
    }
  };
  const { stream } = Calls.prototype;
  Calls.prototype.stream = async function* (served, transport, read, arrival, open) {
    for (const secret of secretsIn(arrival.header)) recorder.confided("secret", secret);
    try {
      yield* stream.call(this, served, transport, read, arrival, open);
    } catch (thrown) {
      recordFailure(recorder, thrown);
      throw thrown;
    }
  };
}

function recordFailure(recorder: Recorder, thrown: unknown): void {
  if (!(thrown instanceof CallFailure)) return;
  const { message, badRequest } = thrown.status;
  recorder.said("error", message);
  for (const { field, description } of badRequest?.fieldViolations ?? []) {
    recorder.said("error", `${field}: ${description}`);
  }
}

function secretsIn(header: Header): string[] {
  const authorization = header("authorization") ?? "";
  const [scheme = "", value = ""] = authorization.split(/ +/);
  if (scheme.toLowerCase() !== "basic") return [header("x-api-key") ?? "", value];
  const decoded = Buffer.from(value, "base64").toString();
  return [value, decoded.slice(decoded.indexOf(":") + 1)];
}

function confideRequest(recorder: Recorder, request: Message): void {
  if (isMessage(request, CreateVersionRequestSchema)) {
    const { template } = request;
    if (template.case === "text") recorder.confided("template", template.value);
    if (template.case === "chat") {
      for (const { item } of template.value.items) {
        if (item.case === "message") recorder.confided("template", item.value.content);
      }
    }
  }
  if (isMessage(request, CompileRequestSchema)) {
    for (const text of textsIn(request.variables)) recorder.confided("value", text);
    for (const { messages } of Object.values(request.placeholders)) {
      for (const { content } of messages) recorder.confided("value", content);
    }
  }
}

/** Those too that came without a call: seeds. */
function recordStoredTemplates(recorder: Recorder): void {
  const { createVersion } = Registry.prototype;
  Registry.prototype.createVersion = async function (caller, version: NewVersion) {
    const { body } = version;
    if (body.type === "text") recorder.confided("template", body.template);
    else {
      for (const item of body.template) {
        if (item.type === "chatmessage") recorder.confided("template", item.content);
      }
    }
    return createVersion.call(this, caller, version);
  };
}

/** What grpc-js says, also of calls that no method saw. */
function recordGrpcErrors(recorder: Recorder): void {
  const { sendStatus } = BaseServerInterceptingCall.prototype;
  BaseServerInterceptingCall.prototype.sendStatus = function (status) {
    recorder.said("error", String(status.details));
    sendStatus.call(this, status);
  };
}

/** What is answered over HTTP/1.1 with a status of 400 or more, also to requests that no method saw. */
function recordHttpErrors(recorder: Recorder): void {
  diagnostics.subscribe("http.server.request.start", (started) => {
    const { request, response } = started as { request: IncomingMessage; response: ServerResponse };
    const received = chunksOf(request, "push");
    const sent = [chunksOf(response, "write"), chunksOf(response, "end")];
    response.once("close", () => {
      // OTLP: promptd sends it, and serves none.
      const isOtlp = request.headers["content-type"] === "application/x-protobuf";
      if (response.statusCode < 400 || isOtlp) return;
      const query = new URLSearchParams(request.url?.split("?")[1]).get("message");
      confideJson(recorder, query ?? Buffer.concat(received).toString());
      recorder.said("error", Buffer.concat(sent.flat()).toString());
    });
  });
}

/** What a stream's method gets from now on. */
function chunksOf<Name extends string>(stream: { [name in Name]: unknown }, name: Name): Buffer[] {
  const chunks: Buffer[] = [];
  const original = stream[name] as (...args: unknown[]) => unknown;
  stream[name] = ((...args: unknown[]) => {
    const [chunk] = args;
    if (typeof chunk === "string" || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
    return original.apply(stream, args);
  }) as never;
  return chunks;
}

const CONFIDED_FIELDS: Record<string, Confided> = {
  text: "template",
  content: "template",
  variables: "value",
};

/** Of JSON that was refused: what stands in the fields for it, and all strings but keys where there are no fields. */
function confideJson(recorder: Recorder, json: string): void {
  try {
    JSON.parse(json, (key, value) => {
      const kind = CONFIDED_FIELDS[key];
      if (kind !== undefined) for (const text of textsIn(value)) recorder.confided(kind, text);
      return value;
    });
  } catch {
    for (const [, text = "", colon] of json.matchAll(/"((?:[^"\\]|\\.)*)"?(\s*:)?/g)) {
      if (colon === undefined) recorder.confided("value", text);
    }
  }
}

function recordConsole(recorder: Recorder): void {
  for (const level of ["log", "warn", "error"] as const) {
    const original = console[level];
    console[level] = (...args: unknown[]) => {
      recorder.said("console", format(...args));
      original(...args);
    };
  }
}

function recordMetrics(recorder: Recorder): () => Promise<void> {
  const registries = new Set<Metrics>();
  const { registerMetric } = Metrics.prototype;
  Metrics.prototype.registerMetric = function (metric) {
    registries.add(this);
    registerMetric.call(this, metric);
  };
  return async () => {
    for (const registry of registries) {
      registries.delete(registry);
      recorder.said("metrics", await registry.metrics());
    }
  };
}

/** Every string and number in a JSON value, but for keys. */
function textsIn(value: unknown): string[] {
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(textsIn);
  return typeof value === "string" || typeof value === "number" ? [String(value)] : [];
}
