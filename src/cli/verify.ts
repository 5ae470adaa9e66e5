import { verifyChanges } from "../store/change-chain.ts";
import { jsonDocument } from "./output.ts";
import type { SettingOptions } from "./setting-options.ts";
import type { Terminal } from "./terminal.ts";
import { withMigratedDatabase } from "./with-database.ts";

/** `promptd changes verify` */
export async function verify(terminal: Terminal, options: SettingOptions): Promise<void> {
  const whole = await withMigratedDatabase(terminal, options, verifyChanges);
  const { changes, head } = whole;
  const text = `${changes} changes, none altered or missing; the last has the hash ${head}\n`;
  terminal.out(options.json === true ? jsonDocument(whole) : text);
}
