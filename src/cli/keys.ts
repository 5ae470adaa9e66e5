/** Keys, in the database itself. */

import { PromptdError } from "../core/errors.ts";
import {
  hashSecret,
  KEY_SCOPES,
  type Key,
  type KeyScope,
  newKeyId,
  newSecret,
} from "../core/keys.ts";
import type { Caller } from "../core/ports.ts";
import { Validator } from "../core/validate.ts";
import { Keys } from "../store/keys.ts";
import { asUsage } from "./exit.ts";
import { jsonDocument, table } from "./output.ts";
import type { SettingOptions } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { commandLine, withMigratedDatabase } from "./with-database.ts";

interface KeyOptions extends SettingOptions {
  project: string;
  json?: boolean;
}

interface CreateOptions extends KeyOptions {
  scope: string[];
  prompt: string[];
  expires?: Date;
  certificateSubject?: string;
}

interface EditOptions extends KeyOptions {
  reason: string;
}

/** `promptd keys create` */
export async function createKey(
  terminal: Terminal,
  name: string,
  options: CreateOptions,
): Promise<void> {
  const secret = newSecret();
  const key = asUsage(() => {
    const { expires, certificateSubject } = options;
    const asked = {
      id: newKeyId(),
      name,
      scopes: scopesOf(options.scope),
      promptPatterns: options.prompt,
      secretHash: hashSecret(secret),
      ...(expires !== undefined && { expiresAt: expires }),
      ...(certificateSubject !== undefined && { certificateSubject }),
    };
    const validator = new Validator();
    validator.key(asked, Date.now());
    validator.done();
    return asked;
  });
  const created = await withKeys(terminal, options, (keys, caller) => keys.createKey(caller, key));
  if (created.certificateSubject === undefined) tellSecret(terminal, created, secret, options);
  else if (options.json) terminal.out(jsonDocument(created));
  else terminal.out(`${mayDo(created)} for ${created.certificateSubject}\n`);
}

/** `promptd keys list` */
export async function listKeys(terminal: Terminal, options: KeyOptions): Promise<void> {
  const all = await withKeys(terminal, options, async (keys, caller) => {
    const found: Key[] = [];
    let after: string | undefined = "";
    while (after !== undefined) {
      const page: { items: Key[]; next?: string } = await keys.listKeys(caller, {
        size: 200,
        after,
      });
      found.push(...page.items);
      after = page.next;
    }
    return found;
  });
  if (options.json) {
    terminal.out(jsonDocument(all));
    return;
  }
  const rows = all.map((key) => [
    key.id,
    key.name,
    key.scopes.join(" "),
    key.promptPatterns.join(" "),
    stateOf(key),
    key.lastUsedAt?.toISOString() ?? "never",
    key.certificateSubject ?? "",
  ]);
  const heads = ["ID", "NAME", "SCOPES", "PROMPTS", "STATE", "LAST USE", "CERTIFICATE"];
  terminal.out(table(heads, rows));
}

/** `promptd keys revoke` */
export async function revokeKey(
  terminal: Terminal,
  id: string,
  options: EditOptions,
): Promise<void> {
  const key = await withKeys(terminal, options, (keys, caller) =>
    keys.revokeKey(caller, id, options.reason),
  );
  terminal.out(options.json ? jsonDocument(key) : `${key.id} (${key.name}) is revoked\n`);
}

/** `promptd keys rotate` */
export async function rotateKey(
  terminal: Terminal,
  id: string,
  options: EditOptions,
): Promise<void> {
  const secret = newSecret();
  const key = await withKeys(terminal, options, (keys, caller) =>
    keys.rotateKey(caller, id, hashSecret(secret), options.reason),
  );
  tellSecret(terminal, key, secret, options);
}

async function withKeys<Result>(
  terminal: Terminal,
  options: KeyOptions,
  work: (keys: Keys, caller: Caller) => Promise<Result>,
): Promise<Result> {
  return withMigratedDatabase(terminal, options, (database) =>
    work(new Keys(database), commandLine(options.project)),
  );
}

function tellSecret(terminal: Terminal, key: Key, secret: string, { json }: KeyOptions): void {
  if (json) {
    terminal.out(jsonDocument({ ...key, secret }));
    return;
  }
  terminal.out(`${secret}\n`);
  terminal.err(`${mayDo(key)}. Its secret, above, cannot be shown again.\n`);
}

function mayDo({ id, name, scopes }: Key): string {
  return `${id} (${name}) may ${scopes.join(", ")}`;
}

function scopesOf(texts: readonly string[]): KeyScope[] {
  const unknown = texts.filter((text) => !(KEY_SCOPES as readonly string[]).includes(text));
  if (unknown.length > 0) {
    const description = `expected ${KEY_SCOPES.join(", ")}, found ${unknown.join(", ")}`;
    throw PromptdError.invalid({ field: "--scope", description });
  }
  return KEY_SCOPES.filter((scope) => texts.includes(scope));
}

function stateOf({ revokedAt, expiresAt }: Key): string {
  if (revokedAt !== undefined) return "revoked";
  if (expiresAt === undefined) return "valid";
  const when = expiresAt.toISOString();
  return expiresAt.getTime() <= Date.now() ? `expired ${when}` : `valid until ${when}`;
}
