/**
 * The part of the state store that knows people: who they are, and what they prove themselves with. In the manner of
 * `ports.ts`.
 *
 * Names and addresses arrive sealed: the writer never sees them. A link and a challenge are used up in the transaction of
 * what they allow.
 */
import type { Role } from "@trustwarden/core/role.ts";
import type { ConfirmationChange, ConfirmationReads } from "./confirmation-ports.ts";
import type { OrganizationChange, OrganizationReads } from "./organization-ports.ts";
import type { CommandContext, Committed } from "./ports.ts";
import type { ReadingCommands, ReadingReads } from "./reading-ports.ts";
import type { RestoreChange, RestoreReads } from "./restore-ports.ts";
import type { Revoked } from "./revocation-ports.ts";

export const LINK_KINDS = ["first", "invitation", "recovery"] as const;
/** `first` makes the first admin, `invitation` a further person, `recovery` a new passkey of somebody known. */
export type LinkKind = (typeof LINK_KINDS)[number];

/** A person, without what is sealed. */
export interface PersonState {
  readonly personId: string;
  readonly ownerId: string | null;
  readonly roles: readonly Role[];
  /** Name and address; opened by `PersonSeal` only. */
  readonly sealed: Uint8Array;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds; null for who may still come. */
  readonly endedAt: number | null;
}

/** The public half of a passkey, with all that a later assertion is checked against, also offline. */
export interface PasskeyState {
  /** base64url */
  readonly credentialId: string;
  readonly personId: string;
  /** Of the P-256 key. */
  readonly spki: Uint8Array;
  /** As the authenticator counted last; 0 from those that do not count. */
  readonly counter: number;
  /** Whether the key may be copied to other devices, and whether it was. */
  readonly isBackupEligible: boolean;
  readonly isBackedUp: boolean;
  readonly transports: readonly string[];
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
}

/** A session that is neither ended nor over; whether it is idle is the caller's to ask. */
export interface SessionState {
  readonly sessionSha256: string;
  readonly personId: string;
  /** Origin of the browser that opened it. */
  readonly origin: string;
  readonly via: "passkey" | "oidc";
  /** Unix seconds. */
  readonly openedAt: number;
  readonly seenAt: number;
  readonly expiresAt: number;
}

/** A link that nobody has used; its secret is not in here. */
export interface LinkState {
  readonly linkSha256: string;
  readonly kind: LinkKind;
  readonly roles: readonly Role[];
  /** Whom a `recovery` is for. */
  readonly personId: string | null;
  /** An owner that the invited person is. */
  readonly ownerId: string | null;
  readonly organizationId: string | null;
  /** Principals that stand behind it, separated by spaces; null for links of before. */
  readonly createdBy: string | null;
  /** The address that the invitation is bound to, sealed; null for any. */
  readonly sealedAddress: Uint8Array | null;
  readonly expiresAt: number;
}

/** A challenge that an authenticator signed; used up with the command. */
export interface UsedChallenge {
  readonly id: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** An assertion of a passkey, verified but for what only the transaction can say. */
export interface UsedAssertion {
  readonly credentialId: string;
  readonly counter: number;
  readonly isBackedUp: boolean;
  readonly challenge: UsedChallenge;
}

export interface NewPasskey
  extends Pick<
    PasskeyState,
    "credentialId" | "spki" | "counter" | "isBackupEligible" | "isBackedUp" | "transports"
  > {
  /** Host that the device bound it to; the ledger's alone, which everybody who checks its signatures later reads. */
  readonly rpId: string;
}

/** Somebody's subject at an identity provider, proven; the nonce of the proof is used up with the command. */
export interface UsedSubject {
  readonly issuer: string;
  /** Keyed digest. */
  readonly subject: string;
  readonly challenge: UsedChallenge;
}

export type NewSession = Pick<SessionState, "sessionSha256" | "origin" | "expiresAt">;

/** What happens to people. */
export type PeopleChange =
  | {
      readonly change: "create-link";
      readonly link: LinkState;
      /** Keyed digest of how the bound address looks; null for none. */
      readonly addressLook: string | null;
    }
  | {
      readonly change: "register";
      readonly linkSha256: string;
      readonly personId: string;
      readonly sealed: Uint8Array;
      readonly addressLook: string | null;
      readonly passkey: NewPasskey;
      readonly challenge: UsedChallenge;
      readonly session: NewSession;
    }
  | {
      readonly change: "log-in";
      readonly personId: string;
      readonly assertion: UsedAssertion;
      readonly session: NewSession;
    }
  | {
      readonly change: "register-subject";
      readonly linkSha256: string;
      readonly personId: string;
      readonly sealed: Uint8Array;
      readonly addressLook: string | null;
      readonly subject: UsedSubject;
      readonly session: NewSession;
    }
  | {
      readonly change: "log-in-subject";
      readonly personId: string;
      readonly subject: UsedSubject;
      readonly session: NewSession;
    }
  | {
      readonly change: "add-identity";
      readonly personId: string;
      readonly subject: UsedSubject;
      /** Of a passkey of that person. */
      readonly assertion: UsedAssertion;
    }
  | { readonly change: "log-out"; readonly sessionSha256: string }
  | {
      readonly change: "set-roles";
      readonly personId: string;
      readonly roles: readonly Role[];
      /** Principals that stand behind it, separated by spaces. */
      readonly vouchers: string;
    }
  | {
      readonly change: "end";
      readonly personId: string;
      /** Whether an owner's agents stop in the same transaction: both or neither. */
      readonly stopsAgents: boolean;
    }
  | {
      readonly change: "add-passkey";
      readonly personId: string;
      readonly passkey: NewPasskey;
      readonly challenge: UsedChallenge;
      /** Of a passkey that is there. */
      readonly assertion: UsedAssertion;
    }
  | {
      readonly change: "add-first-passkey";
      readonly personId: string;
      /** A session that a provider's word opened a moment ago. */
      readonly sessionSha256: string;
      readonly passkey: NewPasskey;
      readonly challenge: UsedChallenge;
    }
  | {
      readonly change: "remove-passkey";
      readonly personId: string;
      readonly credentialId: string;
      /** The session that goes on. */
      readonly sessionSha256: string;
      /** Of a passkey that stays. */
      readonly assertion: UsedAssertion;
    }
  | { readonly change: "confirmation"; readonly confirmation: ConfirmationChange }
  | { readonly change: "organization"; readonly organization: OrganizationChange }
  | { readonly change: "restore"; readonly restore: RestoreChange };

export type PeopleCommand = PeopleChange & { readonly context: CommandContext };

/** What a change is about, for the answer. */
export interface PeopleChanged {
  readonly id: string;
  /** The stop of an owner's agents that was committed along with it, an event of its own. */
  readonly stop?: Committed<Revoked>;
}

export interface PeopleCommands extends ReadingCommands {
  /**
   * @throws TrustWardenError `link_invalid`, `person_exists`, `passkey_reused`, `passkey_invalid`, `challenge_used`,
   *   `session_invalid`, `sign_in_again`, `not_found`, `last_admin`, `owner_in_use`, and those of `changeConfirmation`,
   *   `changeOrganization` and `changeRestore`.
   */
  changePeople(command: PeopleCommand): Promise<Committed<PeopleChanged>>;
  /** Notes that a session is in use; leaves nothing in the ledger. */
  touchSession(touch: { readonly sessionSha256: string; readonly now: number }): Promise<null>;
}

export interface PeopleReads extends ConfirmationReads, OrganizationReads, ReadingReads, RestoreReads {
  findPerson(personId: string): PersonState | undefined;
  /** By id, after one of them. */
  listPeople(query: { readonly after: string; readonly limit: number }): readonly PersonState[];
  /** People with the role who may come. */
  countPeople(role: Role): number;
  findPasskey(credentialId: string): PasskeyState | undefined;
  listPasskeys(personId: string): readonly PasskeyState[];
  /** Those of the person who is an owner, and may come. */
  listOwnerPasskeys(ownerId: string): readonly PasskeyState[];
  /** The person whom a provider knows by a subject. */
  findSubject(query: Pick<UsedSubject, "issuer" | "subject">): string | undefined;
  /** Issuers of the identity providers that know somebody. */
  listIssuersOf(personId: string): readonly string[];
  findSession(sessionSha256: string): SessionState | undefined;
  /** Only while it can be used. @param now - Unix seconds. */
  findLink(query: { readonly linkSha256: string; readonly now: number }): LinkState | undefined;
}
