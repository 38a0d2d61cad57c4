/**
 * The methods of the Workload API, over any source of identities.
 *
 * Each call passes the same gate first: header, limits, and a caller that still runs. Where no WIT-SVIDs are issued, both
 * of their methods answer Unimplemented, as the specification asks.
 *
 * @see Workload API §5 to §7
 */
import { status } from "@grpc/grpc-js";
import { verifyJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { parseSpiffeId, type SpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type {
  DeliveredWit,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
  WorkloadSubscription,
} from "../ports.ts";
import type { Gate } from "./gate.ts";
import { grpcFailure, grpcFailureOf } from "./grpc-status.ts";
import {
  type JwtSvidRequest,
  type JwtSvidResponse,
  type StreamCall,
  type UnaryCall,
  type ValidateRequest,
  type ValidateResponse,
  type WitSvidRequest,
  type WitSvidResponse,
  WORKLOAD_SERVICE,
} from "./protocol.ts";
import {
  formatJwtBundles,
  formatWitBundles,
  formatWitSvids,
  formatX509Bundles,
  formatX509Svids,
  uniqueHint,
} from "./state-messages.ts";
import { StateStream } from "./state-stream.ts";
import { formatStruct } from "./struct.ts";
import { WitFollower } from "./wit-follower.ts";

/** As many as the server signs in one request. */
const MAX_AUDIENCES = 8;
const MAX_AUDIENCE_CHARS = 2048;
/** What any token of another trust domain says in the same way; its own claims mean nothing here. */
const REGISTERED_CLAIMS: ReadonlySet<string> = new Set(["aud", "exp", "iat", "iss", "jti", "nbf", "sub"]);

/** What the handlers work with. */
export interface HandlerContext {
  readonly source: WorkloadSource;
  readonly gate: Gate;
  /** Unix seconds. */
  readonly now: () => number;
}

/** How a stream's state is followed, and what is said of it. */
interface Followed<State, Response, Request> {
  readonly format: (state: State) => Response;
  readonly follow: (following: {
    readonly call: StreamCall<Response, Request>;
    readonly peer: WorkloadPeer;
    readonly onState: (state: State) => void;
    readonly onEnd: (error: unknown) => void;
  }) => Promise<WorkloadSubscription>;
}

/** What `grpc-js` takes for `SpiffeWorkloadAPI`. */
export function createWorkloadHandlers(context: HandlerContext) {
  return {
    FetchX509SVID: followWith(context, "FetchX509SVID", formatX509Svids),
    FetchX509Bundles: followWith(context, "FetchX509Bundles", formatX509Bundles),
    FetchJWTBundles: followWith(context, "FetchJWTBundles", formatJwtBundles),
    FetchJWTSVID: answerWith(context, fetchJwtSvid),
    ValidateJWTSVID: answerWith(context, validateJwtSvid),
    FetchWITSVID: followWits(context),
    FetchWITBundles: followWith(context, "FetchWITBundles", formatWitBundles, requireWitServed),
  };
}

/** A unary method: the gate, then the answer or the status of what it throws. */
export function answerWith<Request, Response>(
  context: HandlerContext,
  answer: (call: UnaryCall<Request, Response>, context: HandlerContext) => Promise<Response>,
) {
  return async (
    call: UnaryCall<Request, Response>,
    callback: (error: Error | null, value?: Response) => void,
  ): Promise<void> => {
    let leave = () => {};
    let isAnswered = false;
    const settle = (error: Error | null, value?: Response): void => {
      if (isAnswered) return;
      isAnswered = true;
      callback(error, value);
    };
    try {
      leave = context.gate.enter(call, (error) => settle(grpcFailureOf(error))).leave;
      const response = await answer(call, context);
      // Asked again: what was made for this process is for nobody else.
      context.gate.peerOf(call);
      settle(null, response);
    } catch (error) {
      settle(grpcFailureOf(error));
    } finally {
      leave();
    }
  };
}

/** A stream of what one method says of a workload's state. */
function followWith<Response>(
  context: HandlerContext,
  method: string,
  format: (state: WorkloadState) => Response,
  require: (context: HandlerContext) => void = () => {},
) {
  return followState(context, method, {
    format,
    follow: ({ peer, onState, onEnd }) => {
      require(context);
      return context.source.subscribe(peer, onState, onEnd);
    },
  });
}

function followWits(context: HandlerContext) {
  const { source, now } = context;
  return followState<readonly DeliveredWit[], WitSvidResponse, WitSvidRequest>(context, "FetchWITSVID", {
    format: formatWitSvids,
    follow: async ({ call, peer, onState: onWits, onEnd }) => {
      requireWitServed(context);
      const { spiffe_id } = call.request;
      const spiffeId = spiffe_id === "" ? null : parseRequestedId(spiffe_id);
      const follower = new WitFollower({ source, peer, spiffeId, now, onWits, onEnd });
      await follower.start();
      return follower;
    },
  });
}

function followState<State, Response, Request extends object = object>(
  { gate }: HandlerContext,
  method: string,
  { format, follow }: Followed<State, Response, Request>,
) {
  const serialize = WORKLOAD_SERVICE[method]?.responseSerialize;
  if (serialize === undefined) throw new Error(`no method ${method}`);
  return (call: StreamCall<Response, Request>): void => {
    let stream: StateStream<State, Response> | undefined;
    try {
      const { peer, leave } = gate.enter(call, (error) => stream?.end(error));
      stream = new StateStream({
        call,
        peer,
        subscribe: async (onState, onEnd) => follow({ call, peer, onState, onEnd }),
        format,
        serialize: (message) => serialize(Object(message)),
        onClose: leave,
      });
      void stream.start();
    } catch (error) {
      call.emit("error", grpcFailureOf(error));
    }
  };
}

/** @throws GrpcFailure Unimplemented, which asks clients not to try again. */
function requireWitServed({ source }: HandlerContext): void {
  if (!source.isWitServed()) throw grpcFailureOf(new TrustWardenError("wit_disabled"));
}

async function fetchJwtSvid(
  call: UnaryCall<JwtSvidRequest, JwtSvidResponse>,
  { source, gate }: HandlerContext,
): Promise<JwtSvidResponse> {
  const { audience, spiffe_id } = call.request;
  if (audience.length === 0 || audience.includes(""))
    throw grpcFailure(status.INVALID_ARGUMENT, "audience must be specified");
  if (audience.length > MAX_AUDIENCES || audience.some((one) => one.length > MAX_AUDIENCE_CHARS))
    throw grpcFailure(status.INVALID_ARGUMENT, "too many audiences, or too long ones");
  const spiffeId = spiffe_id === "" ? null : parseRequestedId(spiffe_id);
  const issued = await source.issueJwtSvids(gate.peerOf(call), { audience, spiffeId });
  if (issued.length === 0) throw new TrustWardenError("no_identity");
  const hints = new Set<string>();
  return {
    svids: issued.map(({ spiffeId: id, svid, hint }) => ({
      spiffe_id: id,
      svid,
      hint: uniqueHint(hint, hints),
    })),
  };
}

async function validateJwtSvid(
  call: UnaryCall<ValidateRequest, ValidateResponse>,
  { source, now }: HandlerContext,
): Promise<ValidateResponse> {
  const { audience, svid } = call.request;
  if (audience === "") throw grpcFailure(status.INVALID_ARGUMENT, "audience must be specified");
  if (svid === "") throw grpcFailure(status.INVALID_ARGUMENT, "svid must be specified");
  const bundles = source.bundles();
  const [own] = bundles;
  try {
    const byDomain = new Map(bundles.map((bundle) => [bundle.trustDomain, bundle]));
    const {
      id,
      audience: audiences,
      claims,
    } = verifyJwtSvid(svid, { bundles: byDomain, audience, now: now() });
    const isOwn = trustDomainOf(id) === own?.trustDomain;
    const shown = isOwn ? claims : pickRegistered(claims);
    return { spiffe_id: id, claims: formatStruct({ ...shown, aud: [...audiences] }) };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    throw grpcFailure(status.INVALID_ARGUMENT, "the JWT-SVID is not valid for this audience");
  }
}

function parseRequestedId(text: string): SpiffeId {
  try {
    return parseSpiffeId(text);
  } catch {
    // Safe: it becomes a refusal of its own, with the text that SPIRE's clients know.
    throw grpcFailure(status.INVALID_ARGUMENT, "invalid requested SPIFFE ID");
  }
}

function pickRegistered(claims: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => REGISTERED_CLAIMS.has(name)));
}
