import type { Caller } from "./ports.ts";
import type { Question, Resolved } from "./resolver.ts";

/** An answer that a caller was given. */
export interface Answered {
  /** A UUID (version 7): the resolution's. */
  id: string;
  /** Which method gave it. */
  method: "GetPrompt" | "BatchGetPrompts" | "Compile";
  caller: Caller;
  question: Question;
  resolved: Resolved;
  /** When the call was begun; milliseconds since 1970, with fractions. */
  startedAt: number;
}

/**
 * Told of each answer that a caller is given, before it is sent: it returns at
 * once and throws nothing. Streams of WatchPrompts and the Langfuse API answer
 * without it.
 */
export interface AnswerListener {
  answered(answered: Answered): void;
}
