/**
 * Who is asking, proven: the result of `authenticate`, the first step of the path.
 *
 * A closed union. Every member was verified by its own proof before it was built; nothing here is a claim.
 */
import type { AttestationFacts } from "./attestation.ts";
import type { Role } from "./role.ts";
import type { Scope } from "./scope.ts";

/** Who holds the agent's private key: itself alone, whoever delivered it too, or a process beside it. */
export const CUSTODIES = ["agent", "delivered", "sidecar"] as const;
export type Custody = (typeof CUSTODIES)[number];
/** Where a decision binds: at a gateway, at a service that the agent visits, or only in the agent itself. */
export type Enforcement = "gateway" | "service" | "self";

/** One instance in a delegation chain. */
export interface ChainLink {
  /** `agt_<ulid>` */
  readonly agentId: string;
  /** `inst-<ulid>`, the last segment of the SPIFFE ID. */
  readonly instanceId: string;
  readonly spiffeId: string;
  /** The scope granted to this instance, as narrowed since. */
  readonly scope: Scope;
}

/** An agent instance that proved possession of its live SVID by a signed intent. */
export interface AgentPrincipal {
  readonly kind: "agent";
  readonly spiffeId: string;
  readonly agentId: string;
  readonly instanceId: string;
  readonly ownerId: string;
  /** base64url SHA-256 of the SVID's leaf. */
  readonly svidSha256: string;
  readonly custody: Custody;
  /** What was verified about it when its identity was issued. */
  readonly attested: AttestationFacts;
  /** A workload of a federated trust domain, whose SPIFFE ID is not ours and names no instance. */
  readonly isForeign?: true;
  /** From the root instance (created by the owner's ticket) to this instance, inclusive; never empty. */
  readonly chain: readonly ChainLink[];
}

/** Somebody who holds a document or evidence and the new key it is for, but has no identity yet. */
export interface EnrolleePrincipal {
  readonly kind: "enrollee";
  readonly via:
    | "ticket"
    | "grant"
    | "verifier-ticket"
    | "join-token"
    | "attestation"
    | "person-link"
    | "claim";
  /** `jti` of the ticket or grant; digest of the join token, link, evidence or wish. */
  readonly enrolmentId: string;
  /** RFC 7638 thumbprint of the key whose possession was proven; null for who comes through an identity provider. */
  readonly thumbprint: string | null;
}

/** A human's key, by a signed request. */
export interface OwnerPrincipal {
  readonly kind: "owner";
  /** `own_<ulid>`; opaque, never an address. */
  readonly ownerId: string;
}

/** A human in front of a browser, by a session that a passkey or a configured identity provider opened. */
export interface PersonPrincipal {
  readonly kind: "person";
  /** `prs_<ulid>`; opaque, never a name or an address. */
  readonly personId: string;
  /** Empty for who is to be an owner and has no passkey yet: nothing but its own session is there for it. */
  readonly roles: readonly Role[];
  /** The owner that this person is; null without that role. */
  readonly ownerId: string | null;
  /** base64url SHA-256 of the session's secret; empty while the session is being opened. */
  readonly sessionSha256: string;
}

/** A peer of the admin socket. */
export interface OperatorPrincipal {
  readonly kind: "operator";
}

/** A service that agents visit, by the SVID of its socket; or a relay, which is admitted to its own routes only. */
export interface VerifierPrincipal {
  readonly kind: "verifier";
  /** It gives its lease on, and decides and records nothing. */
  readonly isRelay?: true;
  readonly spiffeId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly svidSha256: string;
}

/** The daemon of one host, which attests the workloads there. */
export interface NodePrincipal {
  readonly kind: "node";
  readonly spiffeId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly svidSha256: string;
}

export type Principal =
  | AgentPrincipal
  | EnrolleePrincipal
  | OwnerPrincipal
  | PersonPrincipal
  | OperatorPrincipal
  | VerifierPrincipal
  | NodePrincipal;

/** The stable identifier of a principal, as records and logs show it. */
export function formatPrincipal(principal: Principal): string {
  switch (principal.kind) {
    case "agent":
    case "verifier":
    case "node":
      return principal.spiffeId;
    case "enrollee":
      return `enrollee:${principal.enrolmentId}`;
    case "owner":
      return `owner:${principal.ownerId}`;
    case "person":
      return `person:${principal.personId}`;
    case "operator":
      return "operator";
  }
}

/** The chain as records show it: `owner:<id>`, then the agent ids from the root down. */
export function formatChain(agent: AgentPrincipal): readonly string[] {
  return [`owner:${agent.ownerId}`, ...agent.chain.map((link) => link.agentId)];
}
