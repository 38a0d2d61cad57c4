/** The part of the state store that knows what one admin asked and a second one confirmed. In the manner of `people-ports.ts`. */
import type { UsedAssertion } from "./people-ports.ts";

/** A request that somebody may not do alone. */
export interface ConfirmationState {
  /** `cnf_<ulid>` */
  readonly id: string;
  /** The principal, as records show it. */
  readonly askedBy: string;
  readonly method: string;
  readonly target: string;
  /** Sealed: it may name somebody's address. */
  readonly body: string;
  /** base64url SHA-256 of the three and the salt. */
  readonly digest: string;
  /** base64url; empty for what was asked before there was one. */
  readonly salt: string;
  readonly reason: string;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly answer: "confirm" | "refuse" | null;
  /** `prs_<ulid>` */
  readonly answeredBy: string | null;
  readonly usedAt: number | null;
}

export type NewConfirmation = Pick<
  ConfirmationState,
  "id" | "method" | "target" | "body" | "digest" | "salt" | "reason" | "expiresAt"
>;

/** An assertion as it was made, for whoever checks the ledger offline; base64url. */
export interface AssertionEvidence {
  readonly clientDataJson: string;
  readonly authenticatorData: string;
  readonly signature: string;
}

/** What happens to confirmations. */
export type ConfirmationChange =
  | { readonly change: "ask"; readonly confirmation: NewConfirmation }
  | {
      readonly change: "answer";
      readonly id: string;
      readonly personId: string;
      /** Null for a refusal, which needs no passkey. */
      readonly signed: { readonly assertion: UsedAssertion; readonly evidence: AssertionEvidence } | null;
    }
  /** The request came again: exactly once. @see digestOfRequest */
  | { readonly change: "use"; readonly id: string; readonly digest: string };

export interface ConfirmationReads {
  findConfirmation(id: string): ConfirmationState | undefined;
  /** Newest first. */
  listConfirmations(limit: number): readonly ConfirmationState[];
}
