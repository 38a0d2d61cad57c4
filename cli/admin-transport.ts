/**
 * The admin socket: whoever may open it (the data directory is 0700) is `operator`.
 */
import { statSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Transport } from "./client.ts";
import { exchange } from "./http-exchange.ts";

/** @param socketPath - `<data>/admin.sock`. Both lanes are the same socket. */
export function createAdminTransport(socketPath: string): Transport {
  return {
    send: async (request) => {
      requireSocket(socketPath);
      return exchange(request, { socketPath, headers: { host: "localhost" } });
    },
    close: () => undefined,
  };
}

/** Says "no server runs here" rather than ENOENT. */
function requireSocket(socketPath: string): void {
  const found = statSync(socketPath, { throwIfNoEntry: false });
  if (found?.isSocket() !== true) {
    throw new TrustWardenError("server_unreachable", { why: `no server is running on ${socketPath}` });
  }
}
