// Calls promptd in every way that a backend needs, and prints one line of JSON for each step.
import { randomBytes } from "node:crypto";
import { enumToJson, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { Resolution_ReasonSchema } from "../gen/promptd/v1/prompt_pb.js";
import type {
  BatchItem,
  CreateVersionRequestSchema,
  PromptService,
  WatchPromptsResponse,
} from "../gen/promptd/v1/prompt_service_pb.js";
import { connect } from "./connection.js";

type Prompts = Client<typeof PromptService>;

const NAME = "examples/typescript";

const prompts = connect(process.env.PROMPTD_ADDRESS ?? "127.0.0.1:50051");
const [first, second] = await create(prompts);
say("create", { versions: [first, second] });
await get(prompts);
await compile(prompts);
await watch(prompts, second);
await trace(prompts);
await notFound(prompts);
await invalidArgument(prompts);
await unavailable();

/** Adds two versions; production points at the first. */
async function create(prompts: Prompts): Promise<[number, number]> {
  const timeoutMs = 5000;
  const first = await prompts.createVersion(
    { ...version("You help people who use {{product}}."), labels: ["production"] },
    { timeoutMs },
  );
  const second = await prompts.createVersion(
    version("You help people who use {{product}}, in one sentence."),
    { timeoutMs },
  );
  return [first.version, second.version];
}

function version(system: string) {
  return {
    name: NAME,
    template: {
      case: "chat",
      value: {
        items: [
          { item: { case: "message", value: { role: "system", content: system } } },
          { item: { case: "placeholder", value: { name: "history" } } },
          { item: { case: "message", value: { role: "user", content: "{{question}}" } } },
        ],
      },
    },
    commitMessage: "an example",
  } satisfies MessageInitShape<typeof CreateVersionRequestSchema>;
}

/** Asks for what production says for this user. */
async function get(prompts: Prompts) {
  const { resolution } = await prompts.getPrompt(
    { name: NAME, userId: "user-42" },
    { timeoutMs: 1000 },
  );
  if (!resolution) throw new Error("an answer without a resolution");
  say("get", {
    version: resolution.version,
    label: resolution.label,
    reason: enumToJson(Resolution_ReasonSchema, resolution.reason),
    content_hash: resolution.contentHash,
  });
}

/** Has the template filled in: variables are text, placeholders are messages. */
async function compile(prompts: Prompts) {
  const history = {
    messages: [
      { role: "user", content: "Hello" },
      { role: "assistant", content: "How can I help?" },
    ],
  };
  const { output } = await prompts.compile(
    {
      name: NAME,
      userId: "user-42",
      variables: { product: "Acme", question: "Where is my order?" },
      placeholders: { history },
    },
    { timeoutMs: 1000 },
  );
  const messages = output.case === "chat" ? output.value.messages : [];
  say("compile", { messages: messages.map(({ role, content }) => ({ role, content })) });
}

/** Is told of production while it moves to a version and back. */
async function watch(prompts: Prompts, version: number) {
  // No deadline: a watch lasts until it is aborted.
  const watching = new AbortController();
  const stream = prompts
    .watchPrompts({ prompts: [{ name: NAME }] }, { signal: watching.signal })
    [Symbol.asyncIterator]();
  await sayNext(stream);

  const { previous } = await prompts.setLabels(
    {
      name: NAME,
      moves: [{ label: "production", version }],
      reason: "one sentence is enough",
    },
    { timeoutMs: 5000 },
  );
  say("label", { previous: previous.map(({ label, version }) => ({ label, version })) });
  await sayNext(stream);

  // What it was before, sent back, undoes it.
  await prompts.setLabels(
    { name: NAME, moves: previous, reason: "it was not" },
    { timeoutMs: 5000 },
  );
  say("undo");
  await sayNext(stream);
  watching.abort();
}

/** Prints the next snapshot or update. A heartbeat only says that the stream is alive. */
async function sayNext(stream: AsyncIterator<WatchPromptsResponse>) {
  for (;;) {
    const { done, value } = await stream.next();
    if (done) throw new Error("the stream has ended");
    const { event } = value;
    if (event.case === "snapshot") {
      return say("watch", { event: event.case, version: versionOf(event.value.items[0]) });
    }
    if (event.case === "update") {
      return say("watch", { event: event.case, version: versionOf(event.value.items[0]?.item) });
    }
  }
}

function versionOf(item: BatchItem | undefined) {
  return item?.result.case === "response" ? item.result.value.resolution?.version : undefined;
}

/**
 * Goes on with a trace, as OpenTelemetry's instrumentation of HTTP does by itself. The attributes
 * belong on the span of the model call.
 */
async function trace(prompts: Prompts) {
  const traceId = randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  const { resolution } = await prompts.getPrompt(
    { name: NAME },
    { timeoutMs: 1000, headers: { traceparent: `00-${traceId}-${spanId}-01` } },
  );
  say("trace", { trace_id: traceId, trace_attributes: resolution?.traceAttributes });
}

/** Asks for a label that is not there; the message tells what is. */
async function notFound(prompts: Prompts) {
  try {
    await prompts.getPrompt(
      { name: NAME, selector: { case: "label", value: "nowhere" } },
      { timeoutMs: 1000 },
    );
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    if (error.code !== Code.NotFound) throw error;
    say("not_found", { code: Code[error.code], message: error.rawMessage });
  }
}

/** Leaves the variables out; the details name the fields. */
async function invalidArgument(prompts: Prompts) {
  try {
    await prompts.compile({ name: NAME }, { timeoutMs: 1000 });
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    if (error.code !== Code.InvalidArgument) throw error;
    say("invalid_argument", {
      code: Code[error.code],
      message: error.rawMessage,
      violations: error
        .findDetails(BadRequestSchema)
        .flatMap(({ fieldViolations }) => fieldViolations)
        .map(({ field, description }) => ({ field, description })),
    });
  }
}

/** Goes on with a text of its own where no promptd listens. */
async function unavailable() {
  try {
    const { prompt } = await connect("127.0.0.1:1").getPrompt({ name: NAME }, { timeoutMs: 2000 });
    const text = prompt?.template.case === "text" ? prompt.template.value : "";
    say("unavailable", { code: "Ok", text });
  } catch (thrown) {
    const { code } = ConnectError.from(thrown);
    if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw thrown;
    say("unavailable", { code: Code[code], text: "You help people." });
  }
}

function say(step: string, said: object = {}) {
  console.log(JSON.stringify({ step, ...said }));
}
