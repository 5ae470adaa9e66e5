/** The settings as options, from the one table that has them all. */

import { type Command, Option } from "commander";
import { flagName, loadSettings, SETTINGS, type Settings } from "../settings.ts";
import { asUsage } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

export type SettingKey = keyof Settings;

/** What commander gathered, by its own names for the options. */
export type SettingOptions = Record<string, unknown>;

const ALL = Object.keys(SETTINGS) as SettingKey[];

/** The settings that tell which database is meant. */
export const DATABASE: readonly SettingKey[] = ["dataDir", "databaseUrl"];

/** Adds a flag for each setting, or for some. */
export function withSettingOptions(command: Command, keys: readonly SettingKey[] = ALL): Command {
  for (const key of keys) command.addOption(settingOption(key));
  return command;
}

/** The texts that were given as flags, by setting. */
export function settingFlags(options: SettingOptions): Partial<Record<SettingKey, string>> {
  const given = ALL.map((key) => [key, options[settingOption(key).attributeName()]] as const);
  return Object.fromEntries(given.filter(([, text]) => text !== undefined));
}

/** The settings of the environment and of flags. @throws WrongUsage */
export function settingsOf(terminal: Terminal, options: SettingOptions): Settings {
  return asUsage(() => loadSettings(terminal.env, settingFlags(options)));
}

function settingOption(key: SettingKey): Option {
  const { env, description, default: preset } = SETTINGS[key] as (typeof SETTINGS)["dataDir"];
  const fallback = preset === undefined ? "" : ` (default: ${preset})`;
  return new Option(`--${flagName(env)} <value>`, `${description} [${env}]${fallback}`);
}
