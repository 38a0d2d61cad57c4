/** Where the Workload API is: the value of `SPIFFE_ENDPOINT_SOCKET`. @see SPIFFE_Workload_Endpoint.md §4 */
import { isIP } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** `sun_path` has 108 bytes with its end. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_PORT = 65_535;

export type EndpointAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/**
 * `unix:///absolute/path`, or `tcp://IP:port`; a name is refused, because whoever answers for it would be believed.
 *
 * @throws TrustWardenError `endpoint_malformed`.
 */
export function parseEndpointAddress(text: string): EndpointAddress {
  if (text.startsWith("unix:///")) return { kind: "unix", path: requirePath(text.slice("unix://".length)) };
  const [, bracketed, plain, port = ""] = /^tcp:\/\/(?:\[([^\]]+)\]|([^:/]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  if (isIP(host) !== (bracketed === undefined ? 4 : 6))
    throw malformed("neither unix:///path nor tcp://IP:port");
  if (Number(port) < 1 || Number(port) > MAX_PORT) throw malformed("port");
  return { kind: "tcp", host, port: Number(port) };
}

function requirePath(path: string): string {
  if (/[?#\0]/.test(path)) throw malformed("query or fragment");
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) throw malformed("longer than 107 bytes");
  return path;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("endpoint_malformed", { reason });
}
