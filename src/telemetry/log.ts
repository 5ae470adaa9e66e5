import { type DestinationStream, type Logger, pino } from "pino";

/**
 * The process's log: one JSON object a line on standard error, so that
 * standard output stays what a person reads.
 */
export function createLog(
  level: string,
  destination: DestinationStream = pino.destination(2),
): Logger {
  const options = { level, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: cause } };
  return pino(options, destination);
}

/** What an operator needs of an error. The rest of PostgreSQL's can hold the row that it is about. */
function cause(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack } = error;
  return { type: name, message, stack, ...("code" in error && { code: error.code }) };
}
