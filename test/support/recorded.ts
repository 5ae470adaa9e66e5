/** Loaded into a process before promptd is; hands on to the test what is recorded there. Metrics are, when it ends by itself. */

import { type Recorder, record } from "./recording.ts";

/** A message to the test: what the recorder of this process was called with. */
export type Recorded = { [Method in keyof Recorder]?: Parameters<Recorder[Method]> };

const send = (message: Recorded) => process.connected && process.send?.(message);

const recordMetrics = record({
  confided: (...args) => send({ confided: args }),
  said: (...args) => send({ said: args }),
});
process.once("beforeExit", recordMetrics);
