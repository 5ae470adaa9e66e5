/** A worker has ended before it served, and has told why. */
export class WorkerFailed extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("a worker could not start");
    this.exitCode = exitCode;
  }
}
