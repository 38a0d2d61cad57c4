/** The seven calls of the SPIFFE Workload API, by their field numbers. @see SPIFFE_Workload_API.md, service SpiffeWorkloadAPI */
import type { Call, CallOptions, Connection, Ending } from "./grpc.ts";
import { bytesOf, encodeField, mapOf, parseFields, textOf } from "./wire.ts";

export const SERVICE = "SpiffeWorkloadAPI";

/** Method names, and whether each answers with a stream. */
export const METHODS = {
  FetchX509SVID: "stream",
  FetchX509Bundles: "stream",
  FetchJWTSVID: "unary",
  FetchJWTBundles: "stream",
  ValidateJWTSVID: "unary",
  FetchWITSVID: "stream",
  FetchWITBundles: "stream",
} as const;
export type Method = keyof typeof METHODS;
export const METHOD_NAMES: readonly Method[] = [
  "FetchX509SVID",
  "FetchX509Bundles",
  "FetchJWTSVID",
  "FetchJWTBundles",
  "ValidateJWTSVID",
  "FetchWITSVID",
  "FetchWITBundles",
];

export interface X509Svid {
  readonly spiffeId: string;
  /** Concatenated DER, leaf first. */
  readonly x509Svid: Uint8Array;
  readonly x509SvidKey: Uint8Array;
  /** Concatenated DER. */
  readonly bundle: Uint8Array;
  readonly hint: string;
}

export interface X509State {
  readonly svids: readonly X509Svid[];
  readonly crls: readonly Uint8Array[];
  readonly federatedBundles: ReadonlyMap<string, Uint8Array>;
}

export interface TokenSvid {
  readonly spiffeId: string;
  readonly svid: string;
  readonly hint: string;
}

export interface WitSvid extends TokenSvid {
  /** Private JWK. */
  readonly key: string;
}

export interface Validated {
  readonly spiffeId: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

const EMPTY = new Uint8Array();

/** A request that a well-behaved client would send for each call. */
export function soundRequest(method: Method): Uint8Array {
  if (method === "FetchJWTSVID") return encodeField(1, "conformance");
  if (method === "ValidateJWTSVID")
    return Buffer.concat([encodeField(1, "conformance"), encodeField(2, "a.b.c")]);
  return EMPTY;
}

/** Starts a call by its name. */
export function startMethod(
  connection: Connection,
  method: Method,
  { request = soundRequest(method), ...options }: CallOptions & { readonly request?: Uint8Array } = {},
): Call {
  return connection.call(`/${SERVICE}/${method}`, request, options);
}

/** The first message of a stream, which is then cancelled; or how it ended instead. */
export async function firstMessage(
  call: Call,
  timeoutMs: number,
): Promise<{ readonly message: Uint8Array | null; readonly ending: Ending | null }> {
  const message = await call.next(0, timeoutMs);
  call.cancel();
  return { message, ending: message === null ? await call.ending : null };
}

export function jwtSvidRequest(audience: readonly string[], spiffeId = ""): Uint8Array {
  const id = spiffeId === "" ? EMPTY : encodeField(2, spiffeId);
  return Buffer.concat([...audience.map((one) => encodeField(1, one)), id]);
}

export function validateRequest(audience: string, svid: string): Uint8Array {
  const part = (number: number, value: string) => (value === "" ? EMPTY : encodeField(number, value));
  return Buffer.concat([part(1, audience), part(2, svid)]);
}

export function parseX509State(message: Uint8Array): X509State {
  const fields = parseFields(message);
  const svids = bytesOf(fields, 1).map((bytes) => {
    const svid = parseFields(bytes);
    return {
      spiffeId: textOf(svid, 1),
      x509Svid: bytesOf(svid, 2).at(-1) ?? EMPTY,
      x509SvidKey: bytesOf(svid, 3).at(-1) ?? EMPTY,
      bundle: bytesOf(svid, 4).at(-1) ?? EMPTY,
      hint: textOf(svid, 5),
    };
  });
  return { svids, crls: bytesOf(fields, 2), federatedBundles: mapOf(fields, 3) };
}

export function parseX509Bundles(message: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return mapOf(parseFields(message), 2);
}

export function parseJwtSvids(message: Uint8Array): readonly TokenSvid[] {
  return bytesOf(parseFields(message), 1).map((bytes) => {
    const svid = parseFields(bytes);
    return { spiffeId: textOf(svid, 1), svid: textOf(svid, 2), hint: textOf(svid, 3) };
  });
}

export function parseJwtBundles(message: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return mapOf(parseFields(message), 1);
}

export function parseWitSvids(message: Uint8Array): readonly WitSvid[] {
  return bytesOf(parseFields(message), 1).map((bytes) => {
    const svid = parseFields(bytes);
    return { spiffeId: textOf(svid, 1), svid: textOf(svid, 2), key: textOf(svid, 3), hint: textOf(svid, 4) };
  });
}

export function parseValidated(message: Uint8Array): Validated {
  const fields = parseFields(message);
  return { spiffeId: textOf(fields, 1), claims: parseStruct(bytesOf(fields, 2).at(-1) ?? EMPTY) };
}

/** `google.protobuf.Struct`. */
function parseStruct(message: Uint8Array): Readonly<Record<string, unknown>> {
  const entries = [...mapOf(parseFields(message), 1)];
  return Object.fromEntries(entries.map(([name, value]) => [name, parseValue(value)]));
}

/** `google.protobuf.Value`. */
function parseValue(message: Uint8Array): unknown {
  const fields = parseFields(message);
  if (fields.has(2)) {
    const [number = EMPTY] = bytesOf(fields, 2);
    return Buffer.from(number).readDoubleLE(0);
  }
  if (fields.has(3)) return textOf(fields, 3);
  if (fields.has(4)) return fields.get(4)?.at(-1) === 1n;
  if (fields.has(5)) return parseStruct(bytesOf(fields, 5).at(-1) ?? EMPTY);
  if (fields.has(6))
    return bytesOf(parseFields(bytesOf(fields, 6).at(-1) ?? EMPTY), 1).map((item) => parseValue(item));
  return null;
}
