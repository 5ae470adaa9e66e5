import { type Client, ConnectError } from "@connectrpc/connect";
import type {
  BatchItem,
  PromptService,
  WatchPromptsResponse,
} from "../../gen/promptd/v1/prompt_service_pb.ts";

type Request = Parameters<Client<typeof PromptService>["watchPrompts"]>[0];
type Options = Parameters<Client<typeof PromptService>["watchPrompts"]>[1];

/** A stream of WatchPrompts that a test reads by hand. */
export class Watching {
  readonly #messages: AsyncIterator<WatchPromptsResponse>;
  readonly #controller = new AbortController();
  /** Of the last message. */
  revision = 0n;

  constructor(
    client: Pick<Client<typeof PromptService>, "watchPrompts">,
    request: Request,
    options: Options = {},
  ) {
    const { signal } = this.#controller;
    const messages = client.watchPrompts(request, { signal, ...options });
    this.#messages = messages[Symbol.asyncIterator]();
  }

  /** The next message but heartbeats, as texts such as `snapshot 0:v1 one` or `update 1:NotFound`. */
  async next(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#messages.next();
      if (done) throw new Error("the stream has ended");
      const { event } = value as WatchPromptsResponse;
      this.revision = event.value?.revision ?? 0n;
      switch (event.case) {
        case "snapshot":
          return ["snapshot", ...event.value.items.map(shown)].join(" ");
        case "update":
          return ["update", ...event.value.items.map(({ item, index }) => shown(item, index))].join(
            " ",
          );
      }
    }
  }

  /** Why the stream ends. */
  async failure(): Promise<ConnectError> {
    try {
      for (;;) await this.next();
    } catch (thrown) {
      return ConnectError.from(thrown);
    }
  }

  close(): void {
    this.#controller.abort();
  }
}

function shown(item: BatchItem | undefined, index: number): string {
  const { result } = item ?? {};
  if (result?.case === "response") {
    const { prompt } = result.value;
    return `${index}:v${prompt?.version}=${prompt?.template.value}`;
  }
  return `${index}:${result?.value?.code}`;
}
