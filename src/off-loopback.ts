/** What an address asks for that others than this machine can reach. */

import type { Logger } from "pino";
import { PromptdError } from "./core/errors.ts";
import type { ListenAddress, Settings } from "./settings.ts";

function isLoopback({ host }: ListenAddress): boolean {
  return /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);
}

/** Whether something is answered on an address without a key. */
export function answersWithoutKey(
  { keyless }: Settings,
  address: ListenAddress,
  what: string,
): boolean {
  return isLoopback(address) || keyless?.includes(what) === true;
}

/** Nobody is asked for a key, so only this machine may ask, unless somebody decided otherwise. */
export function refuseOpenDoor({ grpcListen, httpListen, insecure }: Settings): void {
  if (insecure) return;
  const description =
    "is not loopback, and there are no keys: everyone who reaches it could change prompts; " +
    "make a key with `promptd keys create`, use 127.0.0.1, or set PROMPTD_INSECURE=true if the network keeps others away";
  const open = { PROMPTD_GRPC_LISTEN: grpcListen, PROMPTD_HTTP_LISTEN: httpListen };
  const violations = Object.entries(open)
    .filter(([, address]) => !isLoopback(address))
    .map(([field]) => ({ field, description }));
  if (violations.length > 0) throw PromptdError.invalid(...violations);
}

/** The first that does not abort the process at certain broken frames: CVE-2026-27135. */
const SOUND_NGHTTP2 = "1.68.1";

/** Node brings its HTTP/2 along, and nothing in the process comes before that. */
export function warnOfCrashes({ grpcListen }: Settings, log: Logger): void {
  const { nghttp2 = "0" } = process.versions;
  if (isLoopback(grpcListen)) return;
  if (nghttp2.localeCompare(SOUND_NGHTTP2, "en", { numeric: true }) >= 0) return;
  const message = `whoever reaches the gRPC port can end this Node (CVE-2026-27135): use one with nghttp2 ${SOUND_NGHTTP2}, or see docs/security.md`;
  log.warn({ node: process.version, nghttp2 }, message);
}
