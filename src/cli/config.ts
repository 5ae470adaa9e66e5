import { SETTINGS, settingTexts } from "../settings.ts";
import { jsonDocument, table } from "./output.ts";
import {
  type SettingKey,
  type SettingOptions,
  settingFlags,
  settingsOf,
} from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd config` */
export async function config(terminal: Terminal, options: SettingOptions): Promise<void> {
  settingsOf(terminal, options);
  const flags = settingFlags(options);
  const settings = Object.entries(settingTexts(terminal.env, flags)).map(([key, text]) => {
    const { env, mask } = SETTINGS[key as SettingKey] as (typeof SETTINGS)["databaseUrl"];
    const value = text === undefined ? null : (mask?.(text) ?? text);
    return { name: env, value, from: originOf(key as SettingKey) };
  });
  function originOf(key: SettingKey): "flag" | "environment" | "default" {
    if (flags[key] !== undefined) return "flag";
    const { env, alias = env } = SETTINGS[key] as (typeof SETTINGS)["langfuseBaseUrl"];
    return terminal.env[env] || terminal.env[alias] ? "environment" : "default";
  }
  if (options.json === true) {
    terminal.out(jsonDocument(settings));
    return;
  }
  const rows = settings.map(({ name, value, from }) => [name, value ?? "(unset)", from]);
  terminal.out(table(["SETTING", "VALUE", "FROM"], rows));
}
