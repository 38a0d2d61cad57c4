/**
 * AWS: a signed `GetCallerIdentity` request proves which IAM role's key the agent holds; STS says so.
 *
 * Evidence holds four header values and nothing that says where to call: address, method, body and the other headers are
 * ours, and the set of signed headers is fixed. Among them are our audience and nonce, so that a request which somebody
 * signed for another service (or which another service asks for on our behalf) does not verify here, nor twice.
 *
 * @see AWS STS API, `GetCallerIdentity`; AWS Signature Version 4
 */
import { encodeBase64url, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { claimsOf, type Facts, objectOf, selectorsOf, textOf } from "./claims.ts";
import { createLimit } from "./concurrency.ts";
import type { Endpoint } from "./config.ts";
import type { Attest, AttestationContext } from "./ports.ts";
import { expired, malformed, refused, unavailable, untrustedIssuer } from "./refusal.ts";
import type { SafeFetch } from "./safe-fetch.ts";
import type { OpenFetch } from "./token-source.ts";

/** Before and after: STS allows fifteen minutes; nobody of ours needs more than one. */
const MAX_AGE_SECONDS = 300;
const MAX_ANSWER_BYTES = 16_384;
const BODY = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8";
const SIGNED_HEADERS =
  "content-type;host;x-amz-date;x-amz-security-token;x-trustwarden-audience;x-trustwarden-nonce";
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}\/(\d{8})\/([a-z0-9-]+)\/sts\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
/** What may stand in a header; a session token is base64. */
const HEADER_VALUE = /^[\x21-\x7e]+$/;
const ASSUMED_ROLE =
  /^arn:aws(?:-cn|-us-gov)?:sts::(\d{12}):assumed-role\/([\w+=,.@-]{1,64})\/([\w+=,.@-]{1,64})$/;
const ROLE_ID = /^(AROA[A-Z0-9]{8,124}):/;

type CallerEvidence = Parameters<Attest<"aws_caller">>[0];

/** Asks the STS of the configured regions; none configured, none asked. */
export function createAwsCallerAttestor(
  endpoints: Readonly<Record<string, Endpoint>>,
  openFetch: OpenFetch,
): Attest<"aws_caller"> {
  const fetches = new Map(
    Object.entries(endpoints).map(([region, endpoint]) => [region, { endpoint, fetch: openFetch(endpoint) }]),
  );
  const limit = createLimit();
  return async (evidence, context) => {
    const target = fetches.get(evidence.region);
    if (target === undefined) throw untrustedIssuer("region");
    const signature = requireForm(evidence);
    const expiresAt = requireFresh(evidence.amz_date, context.nowSeconds);
    const identity = await limit(() => askCaller(target, evidence, context));
    const facts = factsOf(identity, evidence.region);
    return {
      type: "aws_caller",
      selectors: selectorsOf("aws", facts),
      subject: ["aws", facts.account, facts.role_id, facts.session].join(":"),
      claims: claimsOf(facts),
      expiresAt,
      singleUse: { id: encodeBase64url(sha256(encodeUtf8(signature))), expiresAt },
    };
  };
}

/** The one form of the signature's header; the signature. */
function requireForm({
  authorization,
  amz_date: date,
  region,
  security_token: token,
}: CallerEvidence): string {
  const [, day, signedRegion, headers, signature] = AUTHORIZATION.exec(authorization) ?? [];
  if (signature === undefined || !HEADER_VALUE.test(token)) throw malformed("authorization");
  if (day !== date.slice(0, 8) || signedRegion !== region) throw malformed("credential scope");
  if (headers !== SIGNED_HEADERS) throw refused("signed headers");
  return signature;
}

function requireFresh(date: string, nowSeconds: number): number {
  const [, year, month, day, hour, minute, second] = DATE.exec(date) ?? [];
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000;
  if (Number.isNaN(signedAt)) throw malformed("amz_date");
  if (!(Math.abs(nowSeconds - signedAt) < MAX_AGE_SECONDS)) throw expired("amz_date");
  return signedAt + MAX_AGE_SECONDS;
}

async function askCaller(
  { endpoint, fetch }: { readonly endpoint: Endpoint; readonly fetch: SafeFetch },
  evidence: CallerEvidence,
  { audience, nonce }: AttestationContext,
): Promise<JsonObject> {
  if (nonce === undefined) throw refused("no nonce in this exchange");
  const { status, body } = await fetch({
    url: new URL("/", endpoint.url).href,
    method: "POST",
    headers: {
      accept: "application/json",
      authorization: evidence.authorization,
      "content-type": CONTENT_TYPE,
      "x-amz-date": evidence.amz_date,
      "x-amz-security-token": evidence.security_token,
      "x-trustwarden-audience": audience,
      "x-trustwarden-nonce": nonce,
    },
    body: BODY,
    maxBytes: MAX_ANSWER_BYTES,
  });
  if (status === 400 || status === 403) throw refused("STS does not accept the signature");
  if (status !== 200) throw unavailable("STS gave no answer");
  try {
    const answer = parseJsonObject(parseUtf8(body));
    return objectOf(objectOf(answer, "GetCallerIdentityResponse"), "GetCallerIdentityResult");
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw unavailable("the answer of STS is not one", cause);
  }
}

function factsOf(identity: JsonObject, region: string): Facts {
  const [, account, role, session] = ASSUMED_ROLE.exec(textOf(identity, "Arn")) ?? [];
  const [, roleId] = ROLE_ID.exec(textOf(identity, "UserId")) ?? [];
  if (account === undefined || account !== textOf(identity, "Account")) throw refused("not an assumed role");
  if (roleId === undefined) throw refused("not a role's id");
  return { account, role: `${account}/${role}`, role_id: roleId, session, region };
}
