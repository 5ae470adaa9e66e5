import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";

type Attributes = Record<string, string | number | boolean>;

/** A span as it came over the wire. */
export interface SeenSpan {
  traceId: string;
  spanId: string;
  /** Empty for one without. */
  parentSpanId: string;
  traceState: string;
  name: string;
  /** 2: SERVER, 3: CLIENT. */
  kind: number;
  /** Nanoseconds since 1970. */
  start: bigint;
  end: bigint;
  attributes: Attributes;
  events: { name: string; attributes: Attributes }[];
  /** Code 2: ERROR. */
  status: { code: number; message: string };
  resource: Attributes;
}

export interface SeenRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** What it does with a request, in place of an answer of status 200. */
export type Treatment = (response: ServerResponse, request: SeenRequest) => void;

/** A collector of OTLP/HTTP, also a Langfuse's; it answers what else it is sent with 200 too. */
export interface Collector {
  url: string;
  spans: SeenSpan[];
  requests: SeenRequest[];
  treatment: Treatment;
  /** Waits for so many spans, and answers with all. */
  received(count: number): Promise<SeenSpan[]>;
  /** Waits for so many requests, and answers with all. */
  requested(count: number): Promise<SeenRequest[]>;
  close(): Promise<void>;
}

export const taken: Treatment = (response) => void response.writeHead(200).end();

export async function startCollector(port = 0): Promise<Collector> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { url: path = "", headers } = request;
    const seen = { path, headers, body: Buffer.concat(chunks) };
    collector.requests.push(seen);
    if (path.endsWith("/v1/traces")) collector.spans.push(...spansOf(seen.body));
    collector.treatment(response, seen);
    server.emit("seen");
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const reached = async (enough: () => boolean) => {
    while (!enough()) await once(server, "seen");
  };
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    requests: [],
    treatment: taken,
    async received(count) {
      await reached(() => collector.spans.length >= count);
      return collector.spans;
    },
    async requested(count) {
      await reached(() => collector.requests.length >= count);
      return collector.requests;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return collector;
}

const definition = loadSync("test/trace/otlp.proto", {
  longs: String,
  oneofs: true,
  defaults: true,
});
const { Export } = definition[
  "opentelemetry.proto.collector.trace.v1.TraceService"
] as ServiceDefinition & Record<"Export", ServiceDefinition[string]>;

interface Wire {
  resourceSpans: {
    resource: { attributes: WireAttribute[] } | null;
    scopeSpans: { spans: WireSpan[] }[];
  }[];
}

interface WireAttribute {
  key: string;
  value: { value: string; [kind: string]: string | number | boolean };
}

interface WireSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId: Buffer;
  traceState: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: WireAttribute[];
  events: { name: string; attributes: WireAttribute[] }[];
  status: { code: number; message: string } | null;
}

function spansOf(body: Buffer): SeenSpan[] {
  const { resourceSpans } = Export.requestDeserialize(body) as unknown as Wire;
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        traceId: span.traceId.toString("hex"),
        spanId: span.spanId.toString("hex"),
        parentSpanId: span.parentSpanId.toString("hex"),
        start: BigInt(span.startTimeUnixNano),
        end: BigInt(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes),
        events: span.events.map(({ name, attributes }) => ({
          name,
          attributes: attributesOf(attributes),
        })),
        status: { code: span.status?.code ?? 0, message: span.status?.message ?? "" },
        resource: attributesOf(resource?.attributes ?? []),
      })),
    ),
  );
}

function attributesOf(attributes: WireAttribute[]): Attributes {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const told = value[value.value] ?? "";
      return [key, value.value === "intValue" ? Number(told) : told];
    }),
  );
}
