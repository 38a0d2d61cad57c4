/**
 * A client of the SPIFFE Workload API, of ours or anybody's: fetches and watches identities without holding a ticket.
 *
 * Strict: every SVID, token and bundle is proven before the caller sees it (`answers.ts`). A watch keeps itself alive and
 * tells when the identity is gone; what it said before then no longer counts.
 *
 * @see SPIFFE_Workload_API.md §4 to §6
 */
import { parseSpiffeId, type SpiffeId, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { endpointSocketFromEnvironment } from "../environment.ts";
import { nowSeconds, type Runtime, systemRuntime } from "../runtime.ts";
import {
  parseJwtBundles,
  parseWitBundles,
  parseX509Bundles,
  verifyWitState,
  verifyX509State,
  type WorkloadWitSvid,
  type WorkloadX509State,
} from "./answers.ts";
import { parseEndpointAddress } from "./endpoint-address.ts";
import { createTransport, type Transport } from "./grpc-transport.ts";
import {
  encodeJwtSvidRequest,
  encodeValidateRequest,
  encodeWitSvidRequest,
  parseJwtBundlesResponse,
  parseJwtSvidResponse,
  parseValidateResponse,
  parseWitBundlesResponse,
  parseWitSvidResponse,
  parseX509BundlesResponse,
  parseX509Response,
  refused,
} from "./messages.ts";
import { verifyWorkloadToken } from "./verify-token.ts";
import { type Watcher, watchState } from "./watch.ts";

/** For a first answer, where the caller names none. */
export const DEFAULT_TIMEOUT_MS = 10_000;
const NOTHING = new Uint8Array();
/** gRPC status. */
const UNIMPLEMENTED = "12";

export interface WorkloadApiOptions {
  /** `unix:///path` or `tcp://IP:port`; `SPIFFE_ENDPOINT_SOCKET` unless given. */
  readonly socket?: string;
  /** For a first answer; 10 s unless given. */
  readonly timeoutMs?: number;
  readonly runtime?: Runtime;
}

/** A proven token for the audiences that were asked for. */
export interface WorkloadJwtSvid {
  readonly spiffeId: SpiffeId;
  readonly svid: string;
  readonly hint: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Trust bundles by trust domain; what is not here any more is withdrawn. */
export type WorkloadBundles = ReadonlyMap<TrustDomain, TrustBundle>;

/** Who hears of changes of the identities. */
export type X509Watcher = Watcher<WorkloadX509State>;

export interface WorkloadApiClient {
  /** @throws TrustWardenError `no_identity`, `server_unreachable`, `workload_gone`, `workload_answer_refused`; so do all. */
  fetchX509(): Promise<WorkloadX509State>;
  /** Returns what ends the watch; so do all watches. */
  watchX509(watcher: X509Watcher): { readonly close: () => void };
  /** For who only verifies peers. */
  watchX509Bundles(watcher: Watcher<WorkloadBundles>): { readonly close: () => void };
  watchJwtBundles(watcher: Watcher<WorkloadBundles>): { readonly close: () => void };
  /** One token for each identity, or for the named one. @throws TrustWardenError also `request_malformed`. */
  fetchJwtSvids(request: {
    readonly audience: readonly [string, ...string[]];
    readonly spiffeId?: SpiffeId;
  }): Promise<readonly WorkloadJwtSvid[]>;
  /**
   * WIT-SVIDs with their keys: of each identity, or of the named one. They live for minutes; ask again.
   *
   * @throws TrustWardenError also `request_malformed`; `wit_disabled` where the endpoint does not have them.
   */
  fetchWitSvids(spiffeId?: SpiffeId): Promise<readonly [WorkloadWitSvid, ...WorkloadWitSvid[]]>;
  /** @throws TrustWardenError also `wit_disabled`. */
  fetchWitBundles(): Promise<WorkloadBundles>;
  fetchX509Bundles(): Promise<WorkloadBundles>;
  fetchJwtBundles(): Promise<WorkloadBundles>;
  /**
   * Asks the endpoint whose token this is. To check tokens without a call each: `createJwtSource`.
   *
   * @throws TrustWardenError also `request_malformed` for a token that is not valid for the audience.
   */
  validateJwtSvid(request: { readonly audience: string; readonly svid: string }): Promise<SpiffeId>;
  close(): void;
}

/**
 * Connects when the first call is made.
 *
 * @throws TrustWardenError `endpoint_malformed`, also when neither the option nor the variable says where it is.
 */
export function createWorkloadApiClient({
  socket = endpointSocketFromEnvironment(),
  timeoutMs = DEFAULT_TIMEOUT_MS,
  runtime = systemRuntime,
}: WorkloadApiOptions = {}): WorkloadApiClient {
  if (socket === undefined)
    throw new TrustWardenError("endpoint_malformed", { reason: "no endpoint is given" });
  const transport = createTransport(parseEndpointAddress(socket));
  const ask = (method: string, request: Uint8Array = NOTHING) =>
    firstMessage(transport, method, { request, timeoutMs });
  const readX509State = (message: Uint8Array) =>
    verifyX509State(parseX509Response(message), nowSeconds(runtime));
  const fetchJwtBundles = async () => readJwtBundles(await ask("FetchJWTBundles"));
  const fetchWitBundles = async () =>
    parseWitBundles(parseWitBundlesResponse(await asWit(ask("FetchWITBundles"))));
  return {
    fetchWitSvids: async (spiffeId) => {
      const answer = await asWit(ask("FetchWITSVID", encodeWitSvidRequest(spiffeId ?? "")));
      const bundles = await fetchWitBundles();
      const svids = verifyWitState(parseWitSvidResponse(answer), { bundles, now: nowSeconds(runtime) });
      if (spiffeId !== undefined && svids.some((svid) => svid.spiffeId !== spiffeId))
        throw refused("the token names another");
      return svids;
    },
    fetchWitBundles,
    fetchX509: async () => readX509State(await ask("FetchX509SVID")),
    watchX509: (watcher) =>
      watchState({ transport, runtime, path: pathOf("FetchX509SVID"), read: readX509State }, watcher),
    watchX509Bundles: (watcher) =>
      watchState({ transport, runtime, path: pathOf("FetchX509Bundles"), read: readX509Bundles }, watcher),
    watchJwtBundles: (watcher) =>
      watchState({ transport, runtime, path: pathOf("FetchJWTBundles"), read: readJwtBundles }, watcher),
    fetchJwtSvids: async ({ audience, spiffeId = "" }) => {
      const answer = await ask("FetchJWTSVID", encodeJwtSvidRequest(audience, spiffeId));
      const bundles = await fetchJwtBundles();
      const svids = parseJwtSvidResponse(answer).map(({ spiffeId: id, svid, hint }) => {
        const proven = proveToken(svid, { audience, bundles, now: nowSeconds(runtime) });
        if (proven.id !== id || (spiffeId !== "" && id !== spiffeId))
          throw refused("the token names another");
        return { spiffeId: proven.id, svid, hint, expiresAt: proven.expiresAt };
      });
      if (svids.length === 0) throw refused("no token");
      return svids;
    },
    fetchX509Bundles: async () => readX509Bundles(await ask("FetchX509Bundles")),
    fetchJwtBundles,
    validateJwtSvid: async ({ audience, svid }) => {
      const answer = await ask("ValidateJWTSVID", encodeValidateRequest(audience, svid));
      try {
        return parseSpiffeId(parseValidateResponse(answer));
      } catch (cause) {
        throw refused("no SPIFFE ID", cause);
      }
    },
    close: () => transport.close(),
  };
}

/** @throws TrustWardenError `workload_answer_refused` unless the token is proven for every audience. */
function proveToken(
  svid: string,
  {
    audience,
    ...options
  }: {
    readonly audience: readonly [string, ...string[]];
    readonly bundles: WorkloadBundles;
    readonly now: number;
  },
) {
  try {
    const proven = verifyWorkloadToken(svid, { ...options, audience: audience[0] });
    if (!audience.every((one) => proven.audience.includes(one))) throw new TrustWardenError("svid_audience");
    return proven;
  } catch (cause) {
    throw refused(cause instanceof TrustWardenError ? cause.code : "token", cause);
  }
}

/** Whoever has no WIT-SVIDs says Unimplemented, and trying again is of no use. */
async function asWit<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.details.status !== UNIMPLEMENTED) throw cause;
    throw new TrustWardenError("wit_disabled", cause.details, { cause });
  }
}

/** The first message of a call, which is then ended. @throws TrustWardenError `server_unreachable` when none comes in time. */
async function firstMessage(
  transport: Transport,
  method: string,
  { request, timeoutMs }: { readonly request: Uint8Array; readonly timeoutMs: number },
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const call = transport.open(pathOf(method), request, resolve);
  call.ended.then(() => reject(refused("no message")), reject);
  const timer = setTimeout(() => {
    reject(new TrustWardenError("server_unreachable", { reason: "no answer in time", timeoutMs }));
  }, timeoutMs);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    call.cancel();
  }
}

function readX509Bundles(message: Uint8Array): WorkloadBundles {
  return parseX509Bundles(parseX509BundlesResponse(message));
}

function readJwtBundles(message: Uint8Array): WorkloadBundles {
  return parseJwtBundles(parseJwtBundlesResponse(message));
}

function pathOf(method: string): string {
  return `/SpiffeWorkloadAPI/${method}`;
}
