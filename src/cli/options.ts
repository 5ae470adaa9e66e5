/** Options that several commands share, and how their values are read. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { Connection } from "../client/service.ts";
import { CHANGE_KINDS, type ChangeKind } from "../core/change.ts";
import { PromptdError } from "../core/errors.ts";
import { WrongUsage } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

const DEFAULT_ADDRESS = "127.0.0.1:50051";

/** What every command has that talks to a service. */
export interface ServiceOptions {
  address?: string;
  /** Milliseconds. */
  timeout: number;
  json?: boolean;
  caCert?: string;
  clientCert?: string;
  clientKey?: string;
}

/** Adds how to reach the service, and `--json`. */
export function withServiceOptions(command: Command): Command {
  const where = `HOST:PORT or URL of a running promptd (default: $PROMPTD_ADDRESS or ${DEFAULT_ADDRESS})`;
  return command
    .addOption(new Option("--address <address>", where).argParser(address))
    .addOption(
      new Option("--timeout <duration>", "how long a call may take, such as 500ms or 30s")
        .default(10_000, "10s")
        .argParser(duration),
    )
    .option(
      "--ca-cert <file>",
      "PEM file of the CA that signed the service's certificate (default: $PROMPTD_CA_CERT or the public CAs)",
    )
    .option(
      "--client-cert <file>",
      "PEM file of a certificate to show (default: $PROMPTD_CLIENT_CERT)",
    )
    .option("--client-key <file>", "PEM file of its private key (default: $PROMPTD_CLIENT_KEY)")
    .option("--json", "print one JSON document, for programs");
}

/**
 * @throws WrongUsage for an address in the environment that is none, half a client
 * certificate, and files for TLS with an address that goes without
 */
export function connectionOf(options: ServiceOptions, { env }: Terminal): Connection {
  const fromEnv = env.PROMPTD_ADDRESS || DEFAULT_ADDRESS;
  if (options.address === undefined && !isAddress(fromEnv)) {
    const violation = { field: "PROMPTD_ADDRESS", description: EXPECTED_ADDRESS };
    throw new WrongUsage(PromptdError.invalid(violation));
  }
  const apiKey = env.PROMPTD_API_KEY || undefined;
  const tls = {
    caCert: options.caCert ?? (env.PROMPTD_CA_CERT || undefined),
    clientCert: options.clientCert ?? (env.PROMPTD_CLIENT_CERT || undefined),
    clientKey: options.clientKey ?? (env.PROMPTD_CLIENT_KEY || undefined),
  };
  if ((tls.clientCert === undefined) !== (tls.clientKey === undefined)) {
    const field = tls.clientCert === undefined ? "--client-cert" : "--client-key";
    const description = "a certificate and its key are given together";
    throw new WrongUsage(PromptdError.invalid({ field, description }));
  }
  const address = options.address ?? fromEnv;
  // Whoever names them does not expect that key and prompts go over the network in plain text.
  if (address.startsWith("http://") && (tls.caCert ?? tls.clientCert) !== undefined) {
    const field = options.address === undefined ? "PROMPTD_ADDRESS" : "--address";
    const description = "http:// goes without TLS, for which files are named; expected https://";
    throw new WrongUsage(PromptdError.invalid({ field, description }));
  }
  return { address, timeoutMs: options.timeout, apiKey, tls };
}

/** Which version is meant. */
export interface SelectorOptions {
  version?: number;
  label?: string;
}

export function withSelectorOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--version <number>", "the version with this number")
        .argParser(versionNumber())
        .conflicts("label"),
    )
    .option("--label <label>", "the version that this label points at (default: production)");
}

/** As a request holds it. */
export function selectorOf({ version, label }: SelectorOptions) {
  if (version !== undefined) return { case: "version", value: version } as const;
  if (label !== undefined) return { case: "label", value: label } as const;
  return { case: undefined } as const;
}

/** Reads and gathers the values of what may be given several times. */
export function repeatable<Value>(
  read: (text: string) => Value,
): (text: string, values?: Value[] | false) => Value[] {
  // `false` is what a flag such as --no-label has left.
  return (text, values) => [...(values || []), read(text)];
}

/** Numbers of revisions fit in a double. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    const bound = most === Number.MAX_SAFE_INTEGER ? "" : `, ${most} at most`;
    throw new InvalidArgumentError(`expected a whole number, ${least} or more${bound}`);
  };
}

/** Versions are 32 bits on the wire. */
export function versionNumber(least = 1): (text: string) => number {
  return wholeNumber(least, 2 ** 32 - 1);
}

/** Splits `KEY=VALUE` at the first `=`. */
export function keyValue(text: string): [key: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new InvalidArgumentError("expected KEY=VALUE");
}

/** `NAME=TEXT` of `--var` */
export function variable(text: string): [name: string, value: string] {
  return unquoted("--var", () => keyValue(text));
}

/** `NAME=JSON` of `--var-json`, the value parsed. */
export function jsonVariable(text: string): [name: string, value: unknown] {
  return unquoted("--var-json", () => {
    const [name, json] = keyValue(text);
    try {
      return [name, JSON.parse(json)];
    } catch {
      throw new InvalidArgumentError(`expected JSON behind ${name}=; --var takes text`);
    }
  });
}

/** Commander quotes an argument that is wrong, and with it the value of a variable. */
function unquoted<Value>(option: string, read: () => Value): Value {
  try {
    return read();
  } catch (thrown) {
    const { message: description } = thrown as InvalidArgumentError;
    throw new WrongUsage(PromptdError.invalid({ field: option, description }));
  }
}

/** `LABEL=VERSION` */
export function labelVersion(text: string): [label: string, version: number] {
  if (!text.includes("=")) throw new InvalidArgumentError("expected LABEL=VERSION");
  const [label, version] = keyValue(text);
  if (version === "0") throw new InvalidArgumentError("label remove takes a label off");
  return [label, versionNumber()(version)];
}

/** A time in UTC, or with what it differs from UTC by; of a day its beginning. */
export function time(text: string): Date {
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const value = new Date(iso ? text : Number.NaN);
  if (!Number.isNaN(value.getTime())) return value;
  throw new InvalidArgumentError("expected a time such as 2027-01-31 or 2027-01-31T12:00:00Z");
}

/** Kinds of changes as they are typed: `labels-set`. */
export const KIND_WORDS = CHANGE_KINDS.map((kind) => kind.replaceAll("_", "-")).join(", ");

export function changeKind(text: string): ChangeKind {
  const kind = CHANGE_KINDS.find((each) => each === text.replaceAll("-", "_"));
  if (kind !== undefined) return kind;
  throw new InvalidArgumentError(`expected ${KIND_WORDS}`);
}

const EXPECTED_ADDRESS = "expected HOST:PORT or a URL such as http://127.0.0.1:50051";

function isAddress(text: string): boolean {
  if (/^https?:\/\/[^/\s]+\/?$/.test(text)) return URL.canParse(text);
  return /^(\[[\da-f:.]+\]|[^:/\s]+):\d{1,5}$/i.test(text) && URL.canParse(`http://${text}`);
}

function address(text: string): string {
  if (isAddress(text)) return text;
  throw new InvalidArgumentError(EXPECTED_ADDRESS);
}

/** In milliseconds. */
export function duration(text: string): number {
  const [, digits, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text) ?? [];
  const milliseconds = Number(digits) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000);
  if (milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError("expected a duration such as 500ms, 10s or 1m");
}
