import type { ChangeStream, ChangeTail, Position } from "./cache-ports.ts";

/** Changes that are read at once. */
const PAGE = 500;

/** A stream that lacks more is begun anew, with so many. */
const MOST_MISSING = 10_000;

/** Enough for all that may be missing; more than that, others are at it too. */
const ATTEMPTS = 2 * (MOST_MISSING / PAGE);

/**
 * Brings a stream to the end of the database's history: any process may send what
 * another one has committed and not sent. The stream is looked at before the
 * database, so one that is ahead or goes another way holds a history that is no
 * more, as after a restore.
 *
 * @param applied where this process stands: one that has applied all the stream holds need not look further
 * @throws unavailable
 */
export async function publish(
  tail: ChangeTail,
  stream: ChangeStream,
  applied: () => Position,
): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { revision, hash } = applied();
    const end = await stream.newest();
    if ((end?.revision ?? 0) === revision && (end?.hash ?? "") === hash) return;
    const first = end?.revision ?? Math.max(1, revision - MOST_MISSING + 1);
    const changes = await tail.from(first, PAGE);
    if (end === undefined) {
      if (changes.length === 0) return;
      await stream.append(end, changes);
      continue;
    }
    const [known, ...missing] = changes;
    const follows = known?.change.revision === end.revision && known.hash === end.hash;
    if (!follows || revision - end.revision > MOST_MISSING) await stream.renew();
    else if (missing.length === 0) return;
    else await stream.append(end, missing);
  }
}
