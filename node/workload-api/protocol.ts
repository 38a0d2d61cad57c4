/**
 * The two gRPC services of the socket: their definitions, and the messages as the handlers see them.
 *
 * @see workload.proto, agent.proto
 */
import { join } from "node:path";
import type { Metadata, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition, type ServiceDefinition } from "@grpc/proto-loader";
import { requireStrictRequests } from "./strict-request.ts";

/** As the specification names the fields; an absent field has its default, so that none is undefined. */
const LOAD_OPTIONS = { keepCase: true, longs: Number, defaults: true, arrays: true, objects: true };

/** Both files, as reflection publishes them. */
export const PROTOCOL: PackageDefinition = loadSync(
  [join(import.meta.dirname, "workload.proto"), join(import.meta.dirname, "agent.proto")],
  LOAD_OPTIONS,
);

/** SPIFFE's service. */
export const WORKLOAD_SERVICE = serviceOf("SpiffeWorkloadAPI");
/** Ours. */
export const AGENT_SERVICE = serviceOf("trustwarden.node.v1.AgentApi");

/** A call of either kind, as far as the checks before a handler need it. */
export interface AnyCall {
  readonly metadata: Metadata;
  getPeer(): string;
}

/** Bytes by the SPIFFE ID of a trust domain. */
export type BytesByDomain = Readonly<Record<string, Buffer>>;

export interface X509SvidMessage {
  readonly spiffe_id: string;
  readonly x509_svid: Buffer;
  readonly x509_svid_key: Buffer;
  readonly bundle: Buffer;
  readonly hint: string;
}

export interface X509SvidResponse {
  readonly svids: readonly X509SvidMessage[];
  readonly federated_bundles: BytesByDomain;
}

export interface BundlesResponse {
  readonly bundles: BytesByDomain;
}

export interface JwtSvidRequest {
  readonly audience: readonly string[];
  readonly spiffe_id: string;
}

export interface JwtSvidResponse {
  readonly svids: readonly { readonly spiffe_id: string; readonly svid: string; readonly hint: string }[];
}

export interface WitSvidRequest {
  readonly spiffe_id: string;
}

export interface WitSvidResponse {
  readonly svids: readonly {
    readonly spiffe_id: string;
    readonly wit_svid: string;
    readonly wit_svid_key: string;
    readonly hint: string;
  }[];
}

export interface WitBundlesResponse {
  readonly bundles: Readonly<Record<string, string>>;
}

export interface ValidateRequest {
  readonly audience: string;
  readonly svid: string;
}

export interface ValidateResponse {
  readonly spiffe_id: string;
  /** `google.protobuf.Struct`, see `struct.ts`. */
  readonly claims: object;
}

export interface DescribeResponse {
  readonly instances: readonly Readonly<Record<string, string | number | readonly string[]>>[];
}

export interface GrantRequest {
  readonly request: string;
  readonly parent: string;
}

export interface GrantResponse {
  readonly grant: string;
}

export interface DecideRequest {
  readonly action: string;
  readonly resource: string;
}

export interface DecideResponse {
  readonly event_id: string;
}

export type StreamCall<Response, Request = object> = ServerWritableStream<Request, Response>;
export type UnaryCall<Request, Response> = ServerUnaryCall<Request, Response>;

function serviceOf(name: string): ServiceDefinition {
  const definition = PROTOCOL[name];
  if (definition === undefined || isMessage(definition)) throw new Error(`no service ${name}`);
  return requireStrictRequests(definition);
}

function isMessage(
  definition: PackageDefinition[string],
): definition is Exclude<typeof definition, ServiceDefinition> {
  return "format" in definition;
}
