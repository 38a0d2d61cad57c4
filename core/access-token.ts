/**
 * Access tokens: JWTs that name one resource, a scope in our grammar, and the key that must be shown with them.
 *
 * They are signed with the authority's JWT key under a key id of their own. Three things keep them apart from
 * JWT-SVIDs, for verifiers that check only one of them: another issuer, another `typ`, and a `kid` that no bundle
 * has (docs/decisions/0019). There are no bearer tokens: a token without a confirmation does not parse.
 *
 * @see RFC 9068; RFC 9449 §6; RFC 8705 §3; RFC 8693 §4.1
 */
import type { PublicKey } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import { Fields } from "./fields.ts";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { isJwsOf, issueJws, type JwsForm, parseJws } from "./jws.ts";
import { parseScope, type Scope } from "./scope.ts";
import type { Signer } from "./signer.ts";

/** Resource servers outside our reach may believe a token for this long, so it is short. */
export const MAX_ACCESS_TOKEN_SECONDS = 300;
/** More hand-overs than any delegation of ours is deep; the list is for reading, never for deciding. */
export const MAX_ACTORS = 8;
const CLOCK_SKEW_SECONDS = 10;
const FORM: JwsForm = { typ: "at+jwt", headers: ["kid"], code: "access_token_invalid" };
const KID_PREFIX = "at-";
const DIGEST = /^[A-Za-z0-9_-]{43}$/;

/** The key that has to be shown with a token. */
export interface Confirmation {
  /** `jkt`: a DPoP key by its RFC 7638 thumbprint; `x5t#S256`: a client certificate by its digest. */
  readonly kind: "jkt" | "x5t#S256";
  /** base64url SHA-256. */
  readonly digest: string;
}

/** What a token says. */
export interface AccessToken {
  readonly issuer: string;
  /** SPIFFE ID in whose name it acts: the client's own, or after an exchange the delegator's. */
  readonly subject: string;
  /** SPIFFE IDs that act for the subject: the present one first, then those before it, who count for nothing. */
  readonly actors: readonly string[];
  /** SPIFFE ID of the client that it was issued to. */
  readonly clientId: string;
  /** The one resource that it is for. */
  readonly audience: string;
  readonly scope: Scope;
  readonly jti: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly confirmation: Confirmation;
  /** Its place in a token status list. */
  readonly status: { readonly uri: string; readonly index: number };
}

/** The `kid` under which a JWT key signs access tokens; not one that a trust bundle has. */
export function formatAccessTokenKid(kid: string): string {
  return `${KID_PREFIX}${kid}`;
}

/** Signs a token. @param options.kid - of the authority's JWT key. */
export function issueAccessToken(
  token: AccessToken,
  options: { readonly kid: string; readonly signer: Signer },
): string {
  const { confirmation, status } = token;
  const payload: JsonObject = {
    iss: token.issuer,
    sub: token.subject,
    aud: token.audience,
    client_id: token.clientId,
    scope: token.scope.join(" "),
    jti: token.jti,
    iat: token.issuedAt,
    exp: token.expiresAt,
    cnf: { [confirmation.kind]: confirmation.digest },
    status: { status_list: { idx: status.index, uri: status.uri } },
    ...(token.actors.length === 0 ? {} : { act: nestActors(token.actors) }),
  };
  // Nothing leaves that our own verifier would refuse.
  parseClaims(payload);
  const header = { typ: FORM.typ, kid: formatAccessTokenKid(options.kid) };
  return issueJws({ header, payload, signer: options.signer });
}

/**
 * Proves a token of ours. Whether it was revoked, and whether its key is shown, is asked elsewhere.
 *
 * @param options.keyOf - the authority's JWT key by its id in the bundle.
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `access_token_invalid` or `access_token_expired`.
 */
export function verifyAccessToken(
  text: string,
  options: {
    readonly keyOf: (kid: string) => PublicKey | undefined;
    readonly issuer: string;
    readonly now: number;
  },
): AccessToken {
  const jws = parseJws(text, FORM);
  const { kid } = jws.unverifiedHeader;
  if (typeof kid !== "string" || !kid.startsWith(KID_PREFIX)) return refuse("kid");
  const key = options.keyOf(kid.slice(KID_PREFIX.length));
  if (key === undefined || !isJwsOf(key, jws)) return refuse("signature");
  const token = parseClaims(jws.unverifiedPayload);
  if (token.issuer !== options.issuer) refuse("iss");
  if (token.issuedAt > options.now + CLOCK_SKEW_SECONDS) refuse("iat");
  if (options.now >= token.expiresAt) {
    throw new TrustWardenError("access_token_expired", { expiresAt: token.expiresAt, now: options.now });
  }
  return token;
}

function parseClaims(claims: JsonObject): AccessToken {
  const fields = new Fields(claims, FORM.code);
  const place = fields.object("status").object("status_list");
  const token = {
    issuer: fields.text("iss"),
    subject: fields.text("sub"),
    audience: fields.text("aud"),
    clientId: fields.text("client_id"),
    scope: parseScope(fields.text("scope", { maxChars: 16_384 }).split(" ")),
    jti: fields.text("jti"),
    issuedAt: fields.integer("iat"),
    expiresAt: fields.integer("exp"),
    confirmation: parseConfirmation(fields.json("cnf")),
    status: { uri: place.text("uri"), index: place.integer("idx") },
    actors: claims.act === undefined ? [] : parseActors(fields.json("act")),
  };
  fields.end();
  if (token.expiresAt - token.issuedAt > MAX_ACCESS_TOKEN_SECONDS) refuse("lifetime");
  return token;
}

function parseConfirmation(cnf: JsonObject): Confirmation {
  const [member, ...others] = Object.entries(cnf);
  const [kind, digest] = member ?? [];
  if (others.length > 0 || typeof digest !== "string" || !DIGEST.test(digest)) return refuse("cnf");
  return kind === "jkt" || kind === "x5t#S256" ? { kind, digest } : refuse("cnf");
}

/** @see RFC 8693 §4.1: the outermost is the present actor. */
function nestActors([first = "", ...before]: readonly string[]): JsonObject {
  return before.length === 0 ? { sub: first } : { sub: first, act: nestActors(before) };
}

function parseActors(act: JsonObject): readonly string[] {
  const actors: string[] = [];
  let next: JsonObject | undefined = act;
  while (next !== undefined) {
    if (typeof next.sub !== "string" || actors.length === MAX_ACTORS) return refuse("act");
    actors.push(next.sub);
    const before: Json | undefined = next.act;
    if (before !== undefined && !isJsonObject(before)) return refuse("act");
    next = before;
  }
  return actors;
}

function refuse(reason: string): never {
  throw new TrustWardenError("access_token_invalid", { reason });
}
