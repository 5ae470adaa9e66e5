import { join } from "node:path";
import { scheduler } from "node:timers/promises";
import { expect } from "vitest";
import { hashSecret, KEY_SCOPES, newKeyId, newSecret } from "../../src/core/keys.ts";
import type { NewKey } from "../../src/core/ports.ts";
import { Keys } from "../../src/store/keys.ts";
import { openDatabase } from "../../src/store/open.ts";
import { Registry } from "../../src/store/registry.ts";
import { temporaryDirectory, text } from "../registry/fixtures.ts";
import { expectRandomTexts } from "../support/leaks.ts";
import { type ServiceProcess, spawnService } from "../support/process.ts";
import type { Measured } from "./fuzz.ts";
import { PROMPT } from "./requests.ts";

expectRandomTexts();

/** What no input has a reason to grow the service's memory by, once it has met a few of them. */
const MAX_GROWTH_MIB = 300;

/** Batches after which the service has met most kinds of inputs. */
const WARM_UP = 20;

const CALLER = { project: "default", actor: "fuzz" };

/** The prompt that a well-behaved client asks for. */
const SOUND = "sound";

/** A service as a process of its own, where a crash is seen, and a key that may do everything. */
export class FuzzedService {
  readonly process: ServiceProcess;
  readonly secret: string;
  /** Of keys that were good once. */
  readonly formerSecrets: readonly string[];
  readonly #rssMiB: number[] = [];

  private constructor(process: ServiceProcess, secret: string, formerSecrets: readonly string[]) {
    this.process = process;
    this.secret = secret;
    this.formerSecrets = formerSecrets;
  }

  static async start(): Promise<FuzzedService> {
    const dataDir = temporaryDirectory();
    const database = await openDatabase(`sqlite:${join(dataDir, "promptd.db")}`);
    await database.migrate();
    const registry = new Registry(database);
    for (const name of [PROMPT, SOUND]) {
      const more = { labels: ["production"], commitMessage: "" };
      await registry.createVersion(CALLER, { name, body: text("Hi {{x}}"), ...more });
    }
    const keys = new Keys(database);
    const makeKey = async (more: Partial<NewKey> = {}) => {
      const secret = newSecret();
      const grant = { name: "fuzz", scopes: KEY_SCOPES, promptPatterns: [] };
      const key = { ...grant, id: newKeyId(), secretHash: hashSecret(secret), ...more };
      await keys.createKey(CALLER, key);
      return { id: key.id, secret };
    };
    const { secret } = await makeKey();
    const revoked = await makeKey();
    await keys.revokeKey(CALLER, revoked.id, "");
    const expired = await makeKey({ expiresAt: new Date(1) });
    await database.close();
    // A broken connection is noticed by its silence, which no end of a test waits for.
    const env = { PROMPTD_DATA_DIR: dataDir, PROMPTD_SHUTDOWN_GRACE: "500ms" };
    const former = [revoked.secret, expired.secret];
    return new FuzzedService(await spawnService(env), secret, former);
  }

  get grpcPort(): number {
    return Number(this.process.grpcAddress.split(":").at(-1));
  }

  get httpPort(): number {
    return Number(this.process.httpAddress.split(":").at(-1));
  }

  /** A well-behaved client is answered, and nothing was logged that tells of a defect. */
  async sound(): Promise<void> {
    const headers = { "x-api-key": this.secret };
    const asked = this.process.prompts.getPrompt({ name: SOUND }, { headers });
    const { prompt } = await asked.catch(async (cause) => {
      // What a process says last may come after its sockets are gone.
      await scheduler.wait(200);
      const said = this.process.log.map(({ msg }) => msg).join("\n");
      throw new Error(`no answer to a well-behaved client; the service said\n${said}`, { cause });
    });
    expect(prompt?.name).toBe(SOUND);
    const said = this.process.log.splice(0);
    const defects = said.filter(
      ({ level, msg }) =>
        Number(level) >= ERROR || (level === undefined && !TIMER_WARNING.test(String(msg))),
    );
    if (defects.length > 0) throw new Error(`the service said ${JSON.stringify(defects)}`);
    this.#rssMiB.push(await this.#rss());
  }

  /** Ends the service, which a signal must still reach, and tells what its memory came to. */
  async end(): Promise<Measured> {
    await this.sound();
    const [first = 0] = this.#rssMiB.slice(WARM_UP);
    const last = this.#rssMiB.at(-1) ?? 0;
    if (first > 0) expect(last - first).toBeLessThan(MAX_GROWTH_MIB);
    expect(await this.process.stop()).toBe(0);
    return { peakMiB: Math.max(...this.#rssMiB), growthMiB: first > 0 ? last - first : 0 };
  }

  async #rss(): Promise<number> {
    const headers = { "x-api-key": this.secret };
    const response = await fetch(`http://${this.process.httpAddress}/metrics`, { headers });
    const [, bytes] = /^process_resident_memory_bytes (\S+)$/m.exec(await response.text()) ?? [];
    return Number(bytes) / 2 ** 20;
  }
}

/** Pino's number for the level. What has none is not of the log: the console of a library, or of Node. */
const ERROR = 50;

/** Node's lines about a Connect timeout that is refused as too long, but only after its timer was set. */
const TIMER_WARNING = /TimeoutOverflowWarning|Timeout duration was set to 1|--trace-warnings/;
