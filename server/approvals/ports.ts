/** What deciding about agents' actions needs of the server; one shape for visits, gateway calls and questions. */
import type { ActionName } from "@trustwarden/core/action.ts";
import type { Parameters } from "@trustwarden/core/approval.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import type { ApprovalReference, Intent } from "@trustwarden/core/event.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { AgentPrincipal, Enforcement } from "@trustwarden/core/principal.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
import type { Appended } from "../ledger/ledger.ts";
import type { Policy } from "../opa/ports.ts";
import type { Sharing } from "../shared/sharing.ts";
import type { ApprovalCommands, ApprovalReads } from "../store/approval-ports.ts";
import type { Committed } from "../store/ports.ts";
import type { RestoreReads } from "../store/restore-ports.ts";
import type { StopReads } from "../store/revocation-ports.ts";

/** The part of the services that decides. */
export interface DecidingServices {
  readonly clock: { nowMs(): number; trustedSeconds(): number };
  readonly policy: Pick<Policy, "classes" | "decide" | "references">;
  readonly reads: Pick<ApprovalReads, "labelsOf" | "freeze"> & StopReads & RestoreReads;
  readonly commands: Pick<ApprovalCommands, "useApproval" | "addLabels">;
  readonly ledger: { settle(committed: Committed<unknown>): Promise<Appended> };
  readonly sharing: Pick<Sharing, "isShared" | "isCurrent" | "catchUp">;
}

/** What an action does to what its job knows, as the enforcement point's own table says. */
export interface Effects {
  /** Labels that reading it puts on the job. */
  readonly reads: readonly string[];
  /** Whether it carries anything to where others read it. */
  readonly outside: boolean;
}

/** One action of an agent, proven to be its own. */
export interface AskedAction {
  readonly agent: AgentPrincipal;
  readonly action: ActionName;
  readonly resource: string;
  readonly enforcement: Enforcement;
  /** One for each link, where the caller presented less than it was granted; those of the chain unless given. */
  readonly chainScopes?: readonly Scope[];
  /** Epoch of the revocation view, read before the chain was found alive. */
  readonly epoch: number;
  /** Parameters that policies see; `{}` when none are shown. */
  readonly arguments: JsonObject;
  /** Null where nobody says: then whatever is more than a read counts as going outside. */
  readonly effects: Effects | null;
  /** The agent's job, or null. */
  readonly job: string | null;
  readonly peer: string;
}

/** An approval that the call names, and what the call really does: proven against its own intent. */
export interface NamedApproval {
  readonly id: string;
  readonly parameters: Parameters;
  readonly intent: { readonly intent: Pick<Intent, "event_id" | "aud"> };
}

/** The decision, and the approval that it used up. */
export interface DecidedAction {
  readonly decision: Decision;
  readonly approval: ApprovalReference | null;
}
