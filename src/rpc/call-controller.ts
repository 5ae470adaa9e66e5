import { setMaxListeners } from "node:events";

/** Aborts one call. Its signal is listened to once for each prompt of a batch, of which Node would warn. */
export function callController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
