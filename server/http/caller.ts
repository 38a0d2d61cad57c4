/**
 * A principal together with what proved it, as the acts of the routes need it.
 */
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import type {
  AgentPrincipal,
  EnrolleePrincipal,
  NodePrincipal,
  OperatorPrincipal,
  OwnerPrincipal,
  PersonPrincipal,
  Principal,
  VerifierPrincipal,
} from "@trustwarden/core/principal.ts";
import type { OAuthCaller } from "../oauth/client-authentication.ts";
import type { AskClaimCommand } from "../store/claim-ports.ts";
import type { PeopleCommand } from "../store/people-ports.ts";
import type { IssueCommand } from "../store/ports.ts";
import type { AdmitNodeCommand, EntryIssueCommand } from "../store/registration-ports.ts";

interface AgentCaller {
  readonly principal: AgentPrincipal;
  /** Null only where the signed document in the body is the proof (outcomes). */
  readonly intent: VerifiedIntent | null;
}

export interface EnrolleeCaller {
  readonly principal: EnrolleePrincipal;
  readonly intent: null;
  /** The verified document or evidence, as the one command that it allows. */
  readonly enrolment: Partial<Enrolments>;
}

/** What an enrollee may become, by what it has proven. */
export interface Enrolments {
  readonly document: Omit<IssueCommand, "context">;
  readonly node: Omit<AdmitNodeCommand, "context">;
  readonly workload: Omit<EntryIssueCommand, "context">;
  readonly person: Opening<"register">;
  readonly subject: Opening<"register-subject">;
  readonly asking: Omit<AskClaimCommand, "context" | "change">;
  /** What an owner gave to an agent that asked. */
  readonly collecting: { readonly ownerId: string; readonly ticket: string };
}

/** A session that is about to be opened, and its secret on the way to the browser. */
interface Opening<Change extends PeopleCommand["change"]> {
  readonly secret: Uint8Array;
  readonly command: Omit<Extract<PeopleCommand, { readonly change: Change }>, "context">;
}

export interface PersonCaller {
  readonly principal: PersonPrincipal;
  readonly intent: null;
  /** Only where the proof was a passkey or a provider's word, instead of a session. */
  readonly opening?: Opening<"log-in"> | Opening<"log-in-subject">;
}

interface OwnerCaller {
  readonly principal: OwnerPrincipal;
  readonly intent: null;
}

interface OperatorCaller {
  readonly principal: OperatorPrincipal;
  readonly intent: null;
}

interface NodeCaller {
  readonly principal: NodePrincipal;
  readonly intent: null;
}

interface VerifierCaller {
  readonly principal: VerifierPrincipal;
  readonly intent: null;
}

export type Caller =
  | AgentCaller
  | EnrolleeCaller
  | OwnerCaller
  | PersonCaller
  | OperatorCaller
  | VerifierCaller
  | NodeCaller
  | OAuthCaller;

/** The enrolment that a caller proved; only routes that admit enrollees alone ask, each for its own kind. */
export function enrolmentOf<Kind extends keyof Enrolments>(caller: Caller, kind: Kind): Enrolments[Kind] {
  const command = "enrolment" in caller ? caller.enrolment[kind] : undefined;
  if (command === undefined) throw new Error("only enrollees of one kind come here");
  return command;
}

/** How somebody comes: with a passkey, or known by an identity provider. */
export function comingOf(caller: Caller): Enrolments["person"] | Enrolments["subject"] {
  const coming = "enrolment" in caller ? (caller.enrolment.person ?? caller.enrolment.subject) : undefined;
  if (coming === undefined) throw new Error("only people who come in are here");
  return coming;
}

/** Whether a principal is an instance, with an SVID of its own. */
export function isInstance(
  principal: Principal,
): principal is AgentPrincipal | VerifierPrincipal | NodePrincipal {
  return principal.kind === "agent" || principal.kind === "verifier" || principal.kind === "node";
}

/** The person who calls; only routes that admit people alone ask. */
export function personOf({ principal }: Caller): PersonPrincipal {
  if (principal.kind !== "person") throw new Error("only people come here");
  return principal;
}

/** The session that a caller proved to be its own to open. */
export function openingOf(caller: Caller): NonNullable<PersonCaller["opening"]> {
  if (!("opening" in caller) || caller.opening === undefined) throw new Error("only logins come here");
  return caller.opening;
}

/** The node that calls; only routes that admit nodes alone ask. */
export function nodeOf({ principal }: Caller): NodePrincipal {
  if (principal.kind !== "node") throw new Error("only nodes come here");
  return principal;
}

/** The instance behind a caller. */
export function instanceOf({ principal }: { readonly principal: Principal }): {
  readonly instanceId: string;
  readonly svidSha256: string;
} {
  if (!isInstance(principal)) throw new Error("only instances come here");
  return { instanceId: principal.instanceId, svidSha256: principal.svidSha256 };
}
