/**
 * The words of the gateway: a call on its way along the path, and what performs it.
 *
 * One choke point (`gateway.ts`, `gateway-ports.ts`) authenticates, decides, records and re-checks for every protocol;
 * a protocol is a planner in core (what does this call mean?) and a performer here (do it).
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { ActionName } from "@trustwarden/core/action.ts";
import type { TrustWardenError } from "@trustwarden/core/error.ts";
import type { CallPlan, PlanRequest } from "@trustwarden/core/gateway/plan.ts";
import type { LoggedIntent } from "@trustwarden/core/presented-intent.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import type { Place } from "../intake/request-places.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import type { Reservation } from "./budgets.ts";
import type { PresentedCredential } from "./presented-credentials.ts";
import type { WatchedText } from "./watched-text.ts";

/** One request on the gateway's listener: its head is clean, its body is here, nobody is proven yet. */
export interface CallArrival {
  readonly socket: Socket;
  /** Held until the decision is recorded. */
  readonly place: Place;
  /** Address of the socket's peer. */
  readonly peer: string;
  readonly method: string;
  /** As sent: `/<upstream>/<rest>`, or `host:port` of a tunnel. */
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Uint8Array;
  readonly upstream: UpstreamState;
  /** The call below the upstream's name, as planners read it. */
  readonly request: PlanRequest;
  /** What is known of the call when it ends; the performer writes it. */
  readonly progress: CallProgress;
}

/** Grows while the call runs; read when the outcome is recorded. */
export interface CallProgress {
  readonly startedMonoMs: number;
  /** Bytes of the answer passed on so far. */
  bytes: number;
  /** base64url commitment to the answer, when the performer makes one. */
  result: string | null;
  /** What the call used; null for what nobody knows. */
  usage: { readonly tokens: number; readonly microUsd: number | null } | null;
  /** Whether its performer was started: before that nothing can have been used. */
  isBegun: boolean;
  /** Room in the budgets of the chain, until the call is over. */
  reservation: Reservation | undefined;
  /** What the deny or the cut is about, when it is not the policy's: a budget without room, a secret that may not be used, a server that is late. */
  refusal: TrustWardenError | undefined;
}

/** An agent, what it signed, and what its call means. */
export interface GatewayCaller {
  readonly agent: AgentPrincipal;
  /** Of the agent's own, or what it presented instead. */
  readonly intent: LoggedIntent;
  readonly plan: CallPlan;
  readonly action: ActionName;
  /** Read before the liveness of the chain; see `DecisionCaller`. */
  readonly epoch: number;
  /** Unix seconds when the SVID or the first instance of the chain ends. */
  readonly expiresAt: number;
  /** Null for an agent with an intent. */
  readonly presented: PresentedCredential | null;
}

/** The decision's place in the ledger. For class C it is written while the upstream works, and awaited before the answer. */
export interface CallReceipt {
  /** Envelope text of the decision. */
  readonly decision: string;
  /** @throws TrustWardenError `ledger_unavailable`. */
  readonly recorded: Promise<{ readonly index: number; readonly acknowledgement: string }>;
}

/** An allowed call, for its performer. */
export interface AllowedCall {
  readonly arrival: CallArrival;
  readonly caller: GatewayCaller;
  readonly client: WatchingClient;
  /** The way to a member of an endpoint that stands for several; released with the call. */
  readonly clientOf: (member: UpstreamState, signal: AbortSignal) => WatchingClient;
  /** Fires when the caller goes away, or must be stopped. */
  readonly signal: AbortSignal;
  /**
   * Starts the answer: waits until the decision is durable, then writes status, clean headers and the receipt.
   *
   * @throws TrustWardenError `ledger_unavailable`: nothing has been answered.
   */
  begin(status: number, headers: Readonly<Record<string, string>>): Promise<void>;
  /** Writes a part of the answer, with backpressure. @throws TrustWardenError `call_aborted`, `call_cut`. */
  write(part: Uint8Array): Promise<void>;
  /** Ends the answer. */
  end(): Promise<void>;
}

/** Does one allowed call, to the end of its answer. */
export type Performer = (call: AllowedCall) => Promise<void>;

/** A request to the upstream of a call. */
export interface UpstreamRequest {
  readonly method: string;
  /** Below the upstream's base path; starts with a slash. */
  readonly path: string;
  /** Lower-case names; those of credentials and of the connection are the client's business and are dropped. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
}

/** Its answer, with every form of the injected secret taken out. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** A nonce for proofs of ours (RFC 9449 §8), and whether the request was refused for want of it. */
  readonly nonce?: { readonly text: string; readonly isDemanded: boolean };
}

/** Looks for planted strings in what a client itself does not carry. */
export interface CanarySearch {
  /** @throws TrustWardenError `canary_found`, with its alarm in the ledger. */
  requireClean(data: Uint8Array, where: string): Promise<void>;
}

/** A client that also looks into what its bytes do not show. */
export interface WatchingClient extends UpstreamClient, CanarySearch {
  /** Looks through the words of the answer that came last; null when there is nothing to look for. */
  watchText(): WatchedText | null;
}

/** Sends to the upstream of one call, with the broker's secret put in. */
export interface UpstreamClient {
  /** @throws TrustWardenError `upstream_unreachable`, `upstream_refused`, `upstream_answer_refused`, or the broker's codes. */
  request(request: UpstreamRequest): Promise<UpstreamAnswer>;
}
