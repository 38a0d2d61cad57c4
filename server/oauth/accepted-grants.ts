/**
 * Identity assertion grants (ID-JAG) of other issuers: an identity provider's word that one of its users lets this
 * client have a token for this resource, within this scope.
 *
 * The user only narrows. The configuration says which owner a user stands for, and the client has to be an agent of that
 * owner; the token acts in the agent's own name, within the agent's own scope and the grant's. Issuers and their keys
 * are those of the configuration; a grant names neither. That a grant counts once is the business of the store.
 *
 * @see draft-ietf-oauth-identity-assertion-authz-grant-03 §4.4; RFC 7523 §3; RFC 7521 §5.2
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { IDENTITY_GRANT_TYP } from "@trustwarden/core/identity-grant.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { parseCompactToken } from "../attest/compact-token.ts";
import type { KeySource } from "../attest/key-source.ts";
import { createKeySource, type OpenFetch } from "../attest/token-source.ts";
import { verifyToken } from "../attest/verify-token.ts";
import type { AcceptedGrant } from "../store/oauth-ports.ts";
import type { OAuthClient } from "./client-authentication.ts";
import type { GrantIssuerConfig } from "./config.ts";

const JTI = /^[\x21-\x7e]{1,256}$/;

/** An issuer of the configuration, with where its keys are. */
interface GrantIssuer extends GrantIssuerConfig {
  readonly source: KeySource;
}

/** What a grant is held against. */
export interface GrantRequest {
  readonly assertion: string;
  /** Our issuer. */
  readonly audience: string;
  /** Names of the client that were proven with this request. */
  readonly clientIds: readonly string[];
  /** What the token is asked for. */
  readonly resource: string;
  readonly bound: OAuthClient["bound"];
  /** Unix seconds. */
  readonly now: number;
}

/** Whether a text says that it is such a grant, good or not. */
export function isIdentityGrant(assertion: string): boolean {
  try {
    return (
      parseJsonObject(parseUtf8(parseBase64url(assertion.split(".")[0] ?? ""))).typ === IDENTITY_GRANT_TYP
    );
  } catch (error) {
    // Safe to go on: what has no readable header is verified as the other kind, which refuses it.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}

/** Owns the keys of the configured issuers. */
export class AcceptedGrants {
  readonly #issuers: ReadonlyMap<string, GrantIssuer>;

  /** @throws TrustWardenError `config_invalid` for an issuer that repeats. */
  constructor(configured: readonly GrantIssuerConfig[], openFetch: OpenFetch) {
    const issuers = configured.map((config) => ({ ...config, source: createKeySource(config, openFetch) }));
    this.#issuers = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
    if (this.#issuers.size !== issuers.length) {
      throw new TrustWardenError("config_invalid", { reason: "oauth.grantIssuers names an issuer twice" });
    }
  }

  /** Whether there are any. */
  get isServed(): boolean {
    return this.#issuers.size > 0;
  }

  /**
   * A grant for this client, this resource and this key.
   *
   * @throws TrustWardenError `assertion_refused`, `assertion_issuer_unavailable`, `scope_malformed`.
   */
  async verify(request: GrantRequest): Promise<AcceptedGrant> {
    const issuer = this.#issuerOf(request.assertion);
    // A grant of our own counts elsewhere; taken here it would make a token of what was to make none.
    if (issuer === undefined || issuer.issuer === request.audience) return refuse("iss");
    const { claims, expiresAt } = await verifyByIssuer(issuer, request);
    const { client_id: clientId, resource, sub, jti } = claims;
    if (typeof clientId !== "string" || !request.clientIds.includes(clientId)) refuse("client_id");
    if (!isOnly(resource, request.resource)) refuse("resource");
    requireSameKey(claims.cnf, request.bound);
    if (typeof jti !== "string" || !JTI.test(jti)) return refuse("jti");
    if (typeof sub !== "string" || !Object.hasOwn(issuer.owners, sub)) return refuse("sub");
    return {
      issuer: issuer.issuer,
      subject: sub,
      jti,
      useSha256: encodeBase64url(
        sha256(encodeUtf8(JSON.stringify([IDENTITY_GRANT_TYP, issuer.issuer, jti]))),
      ),
      owner: issuer.owners[sub] ?? refuse("sub"),
      // No scope at all would be one that nobody decided.
      scope: parseScope(typeof claims.scope === "string" ? claims.scope.split(" ") : refuse("scope")),
      expiresAt,
    };
  }

  #issuerOf(assertion: string): GrantIssuer | undefined {
    const { iss } = asRefused(() => parseCompactToken(assertion, IDENTITY_GRANT_TYP)).unverifiedClaims;
    return typeof iss === "string" ? this.#issuers.get(iss) : undefined;
  }
}

async function verifyByIssuer(
  { issuer, algorithms, maxTokenSeconds, source: keys }: GrantIssuer,
  { assertion, audience, now }: GrantRequest,
): ReturnType<typeof verifyToken> {
  const rules = { issuer, audience, algorithms, maxTokenSeconds, keys, typ: IDENTITY_GRANT_TYP };
  try {
    return await verifyToken(assertion, rules, now);
  } catch (cause) {
    return rethrow(cause);
  }
}

function asRefused<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    return rethrow(cause);
  }
}

/** What is bad evidence elsewhere is a bad grant here. */
function rethrow(cause: unknown): never {
  if (!(cause instanceof TrustWardenError)) throw cause;
  const { reason = cause.code } = cause.details;
  const code =
    cause.code === "attestation_unavailable" ? "assertion_issuer_unavailable" : "assertion_refused";
  throw new TrustWardenError(code, { reason }, { cause });
}

/** One name, alone or in a list of one: a grant for two resources would be two grants. */
function isOnly(value: Json | undefined, expected: string): boolean {
  return value === expected || (Array.isArray(value) && value.length === 1 && value[0] === expected);
}

/** A grant that names a key is worth something to its holder alone. */
function requireSameKey(cnf: Json | undefined, bound: OAuthClient["bound"]): void {
  if (cnf === undefined) return;
  const members: JsonObject = isJsonObject(cnf) ? cnf : refuse("cnf");
  const { kind = "jkt", digest } = bound?.confirmation ?? {};
  if (Object.keys(members).length !== 1 || digest === undefined || members[kind] !== digest) refuse("cnf");
}

function refuse(reason: string): never {
  throw new TrustWardenError("assertion_refused", { reason });
}
