import { type DestinationStream, type Logger, pino } from "pino";

/**
 * The process's log: one JSON object a line on standard error, so that
 * standard output stays what a person reads.
 */
export function createLog(
  level: string,
  destination: DestinationStream = pino.destination(2),
): Logger {
  return pino({ level, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
