/** A collector in a process of its own: `well`, `slow` (each answer after 5 s), or `hanging` (none). Prints its port. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const SLOW_MS = 5000;

const [, , state] = process.argv;

const server = createServer((request, response) => {
  request.resume().once("end", () => {
    if (state === "well") response.end();
    if (state === "slow") setTimeout(() => response.end(), SLOW_MS);
  });
}).listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
