/** What one command of the sync works with. */

import type { Naming } from "../files/naming.ts";
import type { Backups } from "./backups.ts";
import type { Disk } from "./disk.ts";
import type { Metadata } from "./metadata.ts";
import type { RemoteSide } from "./remote-side.ts";

export interface Bench {
  /** With all links followed. */
  root: string;
  disk: Disk;
  backups: Backups;
  remote: RemoteSide;
  metadata: Metadata;
  /** With what was synced before. */
  naming: Naming;
  /** The one whose version is followed. */
  label: string;
  /** For versions whose file names none. */
  labels: readonly string[];
  /** Milliseconds since 1970. */
  now: () => number;
}
