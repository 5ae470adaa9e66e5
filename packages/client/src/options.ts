/** What callers say, and are answered with. */

import type { ClientTlsFiles } from "../../../src/client/tls.ts";
import type { PromptdError } from "../../../src/core/errors.ts";
import type { ChatMessage, JsonValue } from "../../../src/core/prompt.ts";
import type { Fallback } from "./fallbacks.ts";
import type { Prompt, Resolution } from "./prompt.ts";

/** A prompt, and how it is asked for: by its name alone, label `production`. */
export interface Asked {
  name: string;
  label?: string;
  version?: number;
}

export interface ClientOptions {
  /** HOST:PORT or a URL of a promptd's gRPC; default 127.0.0.1:50051. */
  address?: string;
  apiKey?: string | undefined;
  /** PEM files; with a certificate among them, HOST:PORT is https. */
  tls?: ClientTlsFiles;
  /** Watched from the start; those with a fallback value are anyway. */
  prompts?: readonly (string | Asked)[];
  /** By name: what answers, whatever the label, where nothing is known of a prompt. */
  fallbacks?: Readonly<Record<string, Fallback>>;
  /** Told what keeps the client from hearing of changes, and of counts that the service refuses. */
  onFault?: (error: PromptdError) => void;
}

export interface GetOptions {
  /** Whom rollouts split: at most 1 KiB. Empty or absent: nobody in particular. */
  userId?: string | undefined;
  /** Default: `production`. */
  label?: string | undefined;
  /** In the place of a label; no rollout changes it. */
  version?: number | undefined;
}

/** A filled template, and what it was made from. */
export type CompiledPrompt = (
  | { type: "text"; text: string; messages?: undefined }
  | { type: "chat"; messages: ChatMessage[]; text?: undefined }
) & { prompt: Prompt; config: JsonValue; readonly resolution: Resolution };
