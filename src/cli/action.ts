import type { Terminal } from "./terminal.ts";

/**
 * Makes an action of commander from one that is loaded when it runs, so that
 * `--help` and wrong usage are answered at once.
 */
export type Lazily = (load: () => Promise<Action>) => (...args: unknown[]) => Promise<void>;

/** What a command does: gets its arguments, its options, and the commander command. */
type Action = (terminal: Terminal, ...args: never[]) => Promise<void>;
