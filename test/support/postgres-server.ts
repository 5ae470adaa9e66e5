import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "./ports.ts";

/** A PostgreSQL server of one's own, on a free port of this machine, in a temporary directory. */
export interface PostgresServer {
  /** Of its superuser and its `postgres` database. */
  url: string;
  /** Ends it at once, as a crash would. Its data stays. */
  crash(): Promise<void>;
  /** Starts it again after a crash, and waits until it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** Makes and starts a server, or tells by undefined that no PostgreSQL is installed. */
export async function startPostgres(): Promise<PostgresServer | undefined> {
  const programs = findPrograms();
  if (programs === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), "promptd-postgres-"));
  try {
    const owner = process.getuid?.() === 0 ? unprivilegedUser() : undefined;
    if (owner !== undefined) chownSync(directory, owner.uid, owner.gid);
    const data = join(directory, "data");
    const options = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"];
    const as = owner === undefined ? {} : { uid: owner.uid, gid: owner.gid };
    execFileSync(join(programs, "initdb"), options, { ...as, cwd: directory, stdio: "pipe" });
    const port = await freePort();
    const start = () => run(join(programs, "postgres"), { ...as, directory, data, port });
    return new Server(directory, port, start, await start());
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

class Server implements PostgresServer {
  readonly url: string;
  readonly #directory: string;
  readonly #start: () => Promise<ChildProcess>;
  #process: ChildProcess;

  constructor(
    directory: string,
    port: number,
    start: () => Promise<ChildProcess>,
    process: ChildProcess,
  ) {
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.#directory = directory;
    this.#start = start;
    this.#process = process;
  }

  /** An immediate shutdown: the server's own processes end too, which a SIGKILL would leave behind. */
  async crash(): Promise<void> {
    await end(this.#process, "SIGQUIT");
  }

  async restart(): Promise<void> {
    this.#process = await this.#start();
  }

  async remove(): Promise<void> {
    await end(this.#process, "SIGINT");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Starts the server and waits until it says that it takes connections. */
async function run(
  program: string,
  options: { directory: string; data: string; port: number; uid?: number; gid?: number },
): Promise<ChildProcess> {
  const { directory, data, port, ...as } = options;
  const settings = [`listen_addresses=127.0.0.1`, `unix_socket_directories=`, `port=${port}`];
  const server = spawn(program, ["-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
    ...as,
    cwd: directory,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    said.push(line);
    if (line.includes("database system is ready to accept connections")) {
      server.stderr.resume();
      return server;
    }
  }
  throw new Error(`PostgreSQL did not start:\n${said.join("\n")}`);
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, "exit");
  server.kill(signal);
  await exited;
}

/** The directory of `initdb` and `postgres`; the newest where several are installed. */
function findPrograms(): string | undefined {
  const root = "/usr/lib/postgresql";
  const installed = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const directories = [
    ...(process.env.PATH ?? "").split(delimiter),
    ...installed.map((version) => join(root, version, "bin")),
  ];
  return directories.find((directory) =>
    ["initdb", "postgres"].every((program) => existsSync(join(directory, program))),
  );
}

/** PostgreSQL refuses to be run by root. */
function unprivilegedUser(): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}
