import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import type {
  CodePrompt,
  CompiledPrompt,
  CompileOptions,
  GetOptions,
  Registered,
  RegisterOptions,
  ServedPrompt,
} from "../../src/library/prompts/index.ts";

/** A program that has registered prompts. */
export interface Application {
  get(name: string, options?: GetOptions): Promise<ServedPrompt>;
  compile(name: string, options?: CompileOptions): Promise<CompiledPrompt>;
  registered(): Promise<Registered[]>;
  /** Calls no more, and answers with the exit code once the process has come to its end. */
  end(): Promise<number | null>;
}

/** Starts one; it is killed with the test, if it still runs then. */
export function startApplication(
  declared: Record<string, CodePrompt>,
  options: RegisterOptions,
): Application {
  const program = ["--import", "tsx", "test/library/application.ts"];
  const child = spawn(process.execPath, [...program, JSON.stringify({ declared, options })], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  function call<Result>(name: string, ...args: unknown[]): Promise<Result> {
    child.stdin.write(`${JSON.stringify({ call: name, args })}\n`);
    const answered = last.then(async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error("the application has ended");
      const { result, error } = JSON.parse(value);
      if (error) throw Object.assign(new Error(error.message), error);
      return result;
    });
    last = answered.catch(() => {});
    return answered;
  }
  return {
    get: (...args) => call("get", ...args),
    compile: (...args) => call("compile", ...args),
    registered: () => call("registered"),
    async end() {
      const exited = once(child, "exit");
      child.stdin.end();
      const [code] = await exited;
      return code;
    },
  };
}
