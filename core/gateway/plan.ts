/**
 * What a call through the gateway means: its action, its resource, and what policies may know of its parameters.
 *
 * Pure, and the same code on both sides: the agent (or the proxy beside it) plans a call to sign an intent for it, the
 * gateway plans the same bytes again and refuses an intent that says anything else. A plan is made from the request and
 * the operator's settings alone, never from what the caller claims about it.
 */
import type { ActionName } from "../action.ts";
import type { JsonObject } from "../json.ts";
import type { RequestTarget } from "../request-target.ts";
import type { CostBound } from "./budget.ts";
import { planA2a } from "./plan-a2a.ts";
import { planEgress } from "./plan-egress.ts";
import { planHttp } from "./plan-http.ts";
import { planLlm } from "./plan-llm.ts";
import { planMcp } from "./plan-mcp.ts";
import { planPostgresql } from "./plan-postgresql.ts";
import type { UpstreamDescription } from "./upstream.ts";

/** A call as it is on the wire, below the upstream's name. */
export interface PlanRequest {
  readonly method: string;
  /** Target below `/<upstream>`; always starts with a slash. */
  readonly target: RequestTarget;
  /** Lower-case names; only protocol headers are looked at. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

/** What a job has touched. */
export const TAINT_LABELS = ["private", "untrusted"] as const;
export type TaintLabel = (typeof TAINT_LABELS)[number];

/** What a call does to the job that it belongs to, as the operator's settings say. */
export interface CallEffects {
  /** Labels that the answer brings into the job. */
  readonly reads: readonly TaintLabel[];
  /** Whether it can carry something out of the trust domain. */
  readonly writesOutside: boolean;
}

/** The meaning of one call. */
export interface CallPlan {
  readonly action: ActionName;
  /** URI; shown in records, never dialled. */
  readonly resource: string;
  /** Parameters as policies see them: bounded, never secret; empty when there are none. */
  readonly arguments: JsonObject;
  readonly effects: CallEffects;
  /** Null where a call costs a call and nothing else. */
  readonly estimate: CostBound | null;
}

/** Effects of a call that its settings say nothing about. */
export const NO_EFFECTS: CallEffects = { reads: [], writesOutside: false };

/**
 * The meaning of a call.
 *
 * @throws TrustWardenError `route_unknown` for what the protocol or the settings do not serve, `action_malformed`,
 *   `request_malformed` and the JSON codes for a body that has two readings.
 */
export function planCall(upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  switch (upstream.kind) {
    case "http":
      return planHttp(upstream, request);
    case "egress":
      return planEgress(upstream, request);
    case "mcp":
      return planMcp(upstream, request);
    case "openai":
    case "anthropic":
      return planLlm(upstream.kind, upstream, request);
    case "postgresql":
      return planPostgresql(upstream, request);
    case "a2a":
      return planA2a(upstream, request);
  }
}
