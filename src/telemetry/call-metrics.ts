import { Counter, Histogram, type Registry } from "prom-client";

/** What calls are told apart by, but for their codes; the project is empty for one that was not let in. */
interface Labels {
  rpc: string;
  transport: string;
  project: string;
}

/** In seconds. */
const UPPER_BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5,
];

/** Calls of the same labels, as numbers: prom-client would look the labels up for each call. */
class Tally {
  readonly codes = new Map<string, number>();
  /** Calls by the first bound that they keep to; the last passed them all. */
  readonly buckets: number[] = Array(UPPER_BOUNDS.length + 1).fill(0);
  seconds = 0;

  count(code: string): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
  }

  observe(seconds: number): void {
    let bucket = 0;
    while (seconds > (UPPER_BOUNDS[bucket] as number)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] as number) + 1;
    this.seconds += seconds;
  }
}

/** Counts calls, and tells their numbers when metrics are read. */
export class CallMetrics {
  /** By RPC, transport and project. */
  readonly #tallies = new Map<string, Map<string, Map<string, Tally>>>();

  constructor(registry: Registry) {
    const tallies = () => this.#all();
    new Counter({
      name: "promptd_calls_total",
      help: "Calls that ended, by RPC, transport, status code and project, which is empty where a call was not let in.",
      labelNames: ["rpc", "transport", "code", "project"],
      registers: [registry],
      collect() {
        this.reset();
        for (const [{ rpc, transport, project }, { codes }] of tallies()) {
          for (const [code, calls] of codes) this.inc({ rpc, transport, code, project }, calls);
        }
      },
    });
    new Durations(tallies, registry);
  }

  ended({ rpc, transport, code, project, seconds }: Labels & { code: string; seconds: number }) {
    const tally = this.#of(rpc, transport, project);
    tally.count(code);
    tally.observe(seconds);
  }

  refused({ rpc, transport, code }: { rpc: string; transport: string; code: string }): void {
    this.#of(rpc, transport, "").count(code);
  }

  #of(rpc: string, transport: string, project: string): Tally {
    const known = this.#tallies.get(rpc)?.get(transport)?.get(project);
    if (known !== undefined) return known;
    const ofRpc = this.#tallies.get(rpc) ?? new Map<string, Map<string, Tally>>();
    this.#tallies.set(rpc, ofRpc);
    const ofTransport = ofRpc.get(transport) ?? new Map<string, Tally>();
    ofRpc.set(transport, ofTransport);
    const tally = new Tally();
    ofTransport.set(project, tally);
    return tally;
  }

  *#all(): Generator<[Labels, Tally]> {
    for (const [rpc, ofRpc] of this.#tallies) {
      for (const [transport, ofTransport] of ofRpc) {
        for (const [project, tally] of ofTransport) yield [{ rpc, transport, project }, tally];
      }
    }
  }
}

const DURATIONS = {
  name: "promptd_call_duration_seconds",
  help: "Time from a call's decoded request to its answer, by RPC, transport and project.",
};

/** A histogram of what was counted here. */
class Durations extends Histogram<keyof Labels> {
  readonly #tallies: () => Iterable<[Labels, Tally]>;

  constructor(tallies: () => Iterable<[Labels, Tally]>, registry: Registry) {
    const labelNames = ["rpc", "transport", "project"] as const;
    super({ ...DURATIONS, labelNames, buckets: UPPER_BOUNDS, registers: [registry] });
    this.#tallies = tallies;
  }

  /** What prom-client's own histograms read themselves out with. */
  async getForPromString() {
    const values = [...this.#tallies()].flatMap(([labels, tally]) => valuesOf(labels, tally));
    return { ...DURATIONS, type: "histogram", aggregator: "sum", values };
  }
}

function valuesOf(sharedLabels: Labels, { buckets, seconds }: Tally) {
  let calls = 0;
  const value = (suffix: string, value: number, labels = {}) => ({
    metricName: `${DURATIONS.name}_${suffix}`,
    labels,
    sharedLabels,
    value,
  });
  const bounded = buckets.map((count, index) => {
    calls += count;
    return value("bucket", calls, { le: UPPER_BOUNDS[index] ?? "+Inf" });
  });
  if (calls === 0) return [];
  return [...bounded, value("sum", seconds), value("count", calls)];
}
