/**
 * A principal together with what proved it, as the acts of the routes need it.
 */
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import type {
  AgentPrincipal,
  EnrolleePrincipal,
  OperatorPrincipal,
  OwnerPrincipal,
  Principal,
  VerifierPrincipal,
} from "@trustwarden/core/principal.ts";
import type { IssueCommand } from "../store/ports.ts";

interface AgentCaller {
  readonly principal: AgentPrincipal;
  /** Null only where the signed document in the body is the proof (outcomes). */
  readonly intent: VerifiedIntent | null;
}

export interface EnrolleeCaller {
  readonly principal: EnrolleePrincipal;
  readonly intent: null;
  /** The verified ticket or grant, as the command that it allows. */
  readonly enrolment: Omit<IssueCommand, "context">;
}

interface OwnerCaller {
  readonly principal: OwnerPrincipal;
  readonly intent: null;
}

interface OperatorCaller {
  readonly principal: OperatorPrincipal;
  readonly intent: null;
}

interface VerifierCaller {
  readonly principal: VerifierPrincipal;
  readonly intent: null;
}

export type Caller = AgentCaller | EnrolleeCaller | OwnerCaller | OperatorCaller | VerifierCaller;

/** The enrolment that a caller proved; only routes that admit enrollees alone ask. */
export function enrolmentOf(caller: Caller): Omit<IssueCommand, "context"> {
  if (!("enrolment" in caller)) throw new Error("only enrollees come here");
  return caller.enrolment;
}

/** The instance behind a caller: an agent's or a verifier's. */
export function instanceOf({ principal }: { readonly principal: Principal }): {
  readonly instanceId: string;
  readonly svidSha256: string;
} {
  if (principal.kind !== "agent" && principal.kind !== "verifier")
    throw new Error("only instances come here");
  return { instanceId: principal.instanceId, svidSha256: principal.svidSha256 };
}
