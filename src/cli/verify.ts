import { databaseUrl } from "../runtime.ts";
import { verifyChanges } from "../store/change-chain.ts";
import { openDatabase } from "../store/open.ts";
import { jsonDocument } from "./output.ts";
import { type SettingOptions, settingsOf } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";

/** `promptd changes verify` */
export async function verify(terminal: Terminal, options: SettingOptions): Promise<void> {
  const database = await openDatabase(databaseUrl(settingsOf(terminal, options)));
  try {
    await database.migrate();
    const whole = await verifyChanges(database);
    const { changes, head } = whole;
    const text = `${changes} changes, none altered or missing; the last has the hash ${head}\n`;
    terminal.out(options.json === true ? jsonDocument(whole) : text);
  } finally {
    await database.close();
  }
}
