/**
 * What a workload sees of a failure: status and text as SPIRE's agent gives them, because clients match them.
 *
 * PermissionDenied is final for some clients, so only "no identity" has it; whatever may pass is Unavailable.
 *
 * @see Workload Endpoint §6 and appendix A; docs/guides/workload-api.md
 */
import { status } from "@grpc/grpc-js";
import { ERRORS, TrustWardenError } from "@trustwarden/core/error.ts";

/** A gRPC status as `grpc-js` takes it. */
export interface GrpcFailure extends Error {
  readonly code: number;
  readonly details: string;
}

/** A failure with exactly this status and text. */
export function grpcFailure(code: number, details: string): GrpcFailure {
  return Object.assign(new Error(details), { code, details });
}

/** The failure for anything thrown; nothing of an unknown error is told. */
export function grpcFailureOf(error: unknown): GrpcFailure {
  if (isGrpcFailure(error)) return error;
  if (!(error instanceof TrustWardenError)) return grpcFailure(status.INTERNAL, ERRORS.internal.message);
  switch (error.code) {
    case "workload_unattested":
      return grpcFailure(status.UNAVAILABLE, "workload attestation failed");
    case "workload_gone":
      return grpcFailure(status.UNAUTHENTICATED, "could not verify existence of the original caller");
    case "no_identity":
      return grpcFailure(status.PERMISSION_DENIED, "no identity issued");
    case "wit_disabled":
      return grpcFailure(status.UNIMPLEMENTED, "WIT-SVIDs are not issued here");
    case "rate_limited":
      return grpcFailure(status.RESOURCE_EXHAUSTED, ERRORS.rate_limited.message);
    default:
      return grpcFailureOfStatus(error);
  }
}

/** The rest by kind: our input, their identity, or something that may pass. */
function grpcFailureOfStatus(error: TrustWardenError): GrpcFailure {
  const { message } = ERRORS[error.code];
  if (error.status === 400 || error.status === 413) return grpcFailure(status.INVALID_ARGUMENT, message);
  if (error.status >= 502) return grpcFailure(status.UNAVAILABLE, "identities are not available now");
  // The node was refused by the server: to the workload that is a node which cannot serve it yet.
  if (error.status === 401) return grpcFailure(status.UNAVAILABLE, "identities are not available now");
  return grpcFailure(status.INTERNAL, ERRORS.internal.message);
}

function isGrpcFailure(error: unknown): error is GrpcFailure {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}
