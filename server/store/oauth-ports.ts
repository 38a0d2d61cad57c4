/**
 * Access tokens in the state store: issuing one is a command, so that scope, liveness, the use of a client assertion
 * and the ledger's event are one transaction; and what a verifier asks about one.
 *
 * Tokens themselves are never stored: a token is its `jti`.
 */
import type { Confirmation } from "@trustwarden/core/access-token.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** A request for a token by a client that proved itself. */
export interface IssueAccessTokenCommand {
  readonly context: CommandContext;
  /** `iss`. */
  readonly issuer: string;
  readonly grantType: string;
  readonly client: {
    readonly instanceId: string;
    /** How it authenticated. */
    readonly method: string;
    /** Of the X.509-SVID that its socket proved; must still be good. Null for another proof. */
    readonly svidSha256: string | null;
    /** Unix seconds; the end of what it authenticated with. */
    readonly notAfter: number;
    /** Digest of the assertion's signed part; belongs to the first key that it is shown with. */
    readonly assertion: { readonly sha256: string; readonly expiresAt: number } | null;
  };
  /** In whose name; null for the client's own. */
  readonly subject: AccessTokenSubject | null;
  /** What another issuer allows; null where no grant was shown. */
  readonly grant: AcceptedGrant | null;
  readonly audience: string;
  /** Null for all of the subject token's, or of the client's own. */
  readonly scope: Scope | null;
  readonly confirmation: Confirmation;
  /** base64url SHA-256 of the bound key's SubjectPublicKeyInfo; null for a certificate. */
  readonly keySha256: string | null;
  /** Where the status lists are read; the token's is this, a slash and a number. */
  readonly statusLists: string;
}

/** What a subject token proved. */
export interface AccessTokenSubject {
  readonly instanceId: string;
  /** Of an access token of ours, which must not have been revoked; null for a JWT-SVID. */
  readonly jti: string | null;
  /** Of an access token; null for a JWT-SVID, which is bounded by its instance alone. */
  readonly scope: Scope | null;
  /** Who acts after the exchange, the client first. */
  readonly actors: readonly string[];
  /** Unix seconds; no token outlives the one it was exchanged for. */
  readonly expiresAt: number;
}

/** A grant of another issuer that holds; whether it is used for the first time is decided in the transaction. */
export interface AcceptedGrant {
  readonly issuer: string;
  /** Its user. */
  readonly subject: string;
  readonly jti: string;
  /** base64url; the same for each showing of this grant. */
  readonly useSha256: string;
  /** Name of the owner whose agent the client has to be. */
  readonly owner: string;
  readonly scope: Scope;
  /** Unix seconds; no token outlives it. */
  readonly expiresAt: number;
}

/** A grant for another authorization server, by a client that proved itself. */
export interface IssueIdentityGrantCommand
  extends Pick<
    IssueAccessTokenCommand,
    "context" | "issuer" | "client" | "subject" | "confirmation" | "keySha256"
  > {
  /** Issuer of the server that it is for. */
  readonly audience: string;
  /** What the server's token will be for. */
  readonly resource: string;
  /** The client as that server knows it; null for its SPIFFE ID. */
  readonly clientId: string | null;
  /** In that server's words. */
  readonly words: readonly string[];
  /** What stands behind the words in our grammar. */
  readonly scope: Scope;
}

export interface IssuedIdentityGrant {
  readonly grant: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

export interface IssuedAccessToken {
  readonly token: string;
  readonly jti: string;
  readonly scope: Scope;
  /** Unix seconds. */
  readonly expiresAt: number;
}

export interface RevokeAccessTokenCommand {
  readonly context: CommandContext;
  readonly jti: string;
}

/** An issued token; gone some time after it expired. */
export interface AccessTokenState {
  readonly clientInstanceId: string;
  /** The delegator's after an exchange, otherwise the client's. */
  readonly subjectInstanceId: string;
  readonly isRevoked: boolean;
}

export interface OAuthCommands {
  /**
   * @throws TrustWardenError `scope_not_subset`, `scope_malformed`, `client_assertion_replayed`, `key_reused`,
   *   `access_token_revoked`, `assertion_refused`, `assertion_replayed`, `quota_exceeded`, and the codes of a dead instance
   *   or SVID.
   */
  issueAccessToken(command: IssueAccessTokenCommand): Promise<Committed<IssuedAccessToken>>;
  /** @throws TrustWardenError as `issueAccessToken`. */
  issueIdentityGrant(command: IssueIdentityGrantCommand): Promise<Committed<IssuedIdentityGrant>>;
  /** Voids one token. @throws TrustWardenError `not_found` for one that is unknown or has ended. */
  revokeAccessToken(command: RevokeAccessTokenCommand): Promise<Committed<null>>;
}

export interface OAuthReads {
  findAccessToken(jti: string): AccessTokenState | undefined;
}
