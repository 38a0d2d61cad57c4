/**
 * What every call of the socket passes before its handler: the security header, and the limits.
 *
 * The header keeps a page in a browser, or a confused proxy, from asking in somebody's name: neither can be made to
 * send it by chance.
 *
 * @see Workload Endpoint §6 (E-2)
 */
import { type Metadata, status } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { grpcFailure } from "./grpc-status.ts";

const SECURITY_HEADER = "workload.spiffe.io";
/** What gRPC implementations take by default; the HTTP/2 library itself stops at 64 KiB and 128 pairs. */
const MAX_METADATA_BYTES = 8192;
/** An odd client with a stream a second must not take the descriptors and timers of all others. */
const MAX_STREAMS_PER_PROCESS = 128;

/**
 * Exactly one header, exactly `true`.
 *
 * @throws GrpcFailure InvalidArgument, ResourceExhausted.
 */
export function requireSecurityHeader(metadata: Metadata): void {
  const values = metadata.get(SECURITY_HEADER);
  if (values.length !== 1 || values[0] !== "true")
    throw grpcFailure(status.INVALID_ARGUMENT, "security header missing from request");
  if (metadataBytes(metadata) > MAX_METADATA_BYTES)
    throw grpcFailure(status.RESOURCE_EXHAUSTED, "the request's metadata is too large");
}

/** Counts the calls under way of each process, over all its connections. */
export class CallCounter {
  readonly #byPid = new Map<number, number>();

  /** @returns what gives the place back, once. @throws TrustWardenError `rate_limited`. */
  enter(pid: number): () => void {
    const count = this.#byPid.get(pid) ?? 0;
    if (count >= MAX_STREAMS_PER_PROCESS) throw new TrustWardenError("rate_limited", { pid });
    this.#byPid.set(pid, count + 1);
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      this.#leave(pid);
    };
  }

  #leave(pid: number): void {
    const left = (this.#byPid.get(pid) ?? 1) - 1;
    if (left > 0) this.#byPid.set(pid, left);
    else this.#byPid.delete(pid);
  }
}

function metadataBytes(metadata: Metadata): number {
  return Object.entries(metadata.toHttp2Headers())
    .flatMap(([name, values]) => [values].flat().map((value) => name.length + String(value).length))
    .reduce((sum, length) => sum + length, 0);
}
