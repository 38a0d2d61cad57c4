/**
 * `SPIFFE_ENDPOINT_SOCKET`: the one text that tells a workload where its Workload API is.
 *
 * We serve unix sockets only: TCP would need a source address that authenticates strongly.
 *
 * @see Workload Endpoint §4
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

const UNIX_SCHEME = "unix://";
/** `sun_path` has 108 bytes with its end; a longer path is cut off by the kernel's callers, or refused. */
const MAX_SOCKET_PATH_BYTES = 107;

/** The value for a socket's absolute path. @throws TrustWardenError `endpoint_malformed`. */
export function formatEndpointAddress(socketPath: string): string {
  return `${UNIX_SCHEME}${requireSocketPath(socketPath)}`;
}

/**
 * The socket path of untrusted text: `unix:///absolute/path`, or the absolute path alone.
 *
 * @throws TrustWardenError `endpoint_malformed`, also for `tcp://`.
 */
export function parseEndpointAddress(text: string): string {
  if (text.startsWith("/")) return requireSocketPath(text);
  if (!text.startsWith(UNIX_SCHEME)) throw malformed("scheme");
  return requireSocketPath(text.slice(UNIX_SCHEME.length));
}

/** An absolute path that fits a socket address, unchanged. @throws TrustWardenError `endpoint_malformed`. */
export function requireSocketPath(path: string): string {
  // An authority (`unix://host/path`) would be read as a relative path.
  if (!path.startsWith("/")) throw malformed("not an absolute path");
  if (path.includes("?") || path.includes("#") || path.includes("\0")) throw malformed("query or fragment");
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) throw malformed("longer than 107 bytes");
  return path;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("endpoint_malformed", { reason });
}
