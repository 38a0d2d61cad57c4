/**
 * Kubernetes, by asking: the cluster's API server says whose token it is.
 *
 * Unlike a signature, the answer also knows of deleted pods and service accounts. It is believed because the connection
 * is to the configured origin and, with `ca`, to the configured authority. An answer that does not name our audience
 * comes from an authenticator that ignores audiences, and is refused.
 *
 * @see Kubernetes API, `authentication.k8s.io/v1` TokenReview
 */
import { readFile } from "node:fs/promises";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { objectOf, optionalObjectOf, textOf } from "./claims.ts";
import { parseCompactToken } from "./compact-token.ts";
import { createLimit } from "./concurrency.ts";
import type { ClusterReviewConfig } from "./config.ts";
import { attestedPod, type PodIdentity } from "./kubernetes.ts";
import type { Attest } from "./ports.ts";
import { expired, malformed, refused, unavailable } from "./refusal.ts";
import type { SafeFetch } from "./safe-fetch.ts";
import { type OpenFetch, singleUseOf } from "./token-source.ts";

const REVIEWS_PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
const MAX_ANSWER_BYTES = 65_536;
const MAX_OWN_TOKEN_CHARS = 16_384;
const USERNAME = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const POD_NAME = "authentication.kubernetes.io/pod-name";
const POD_UID = "authentication.kubernetes.io/pod-uid";
const NODE_NAME = "authentication.kubernetes.io/node-name";

/** Has tokens reviewed by one cluster. */
export function createTokenReviewAttestor(config: ClusterReviewConfig, openFetch: OpenFetch): Attest<"k8s"> {
  const fetch = openFetch(config.apiServer);
  const limit = createLimit();
  return async ({ token }, { nowSeconds, audience }) => {
    // The API server verifies; our strict reading only keeps out other spellings, and tells when the token ends.
    const { unverifiedClaims, digest } = parseCompactToken(token);
    const expiresAt = requireShortLife(unverifiedClaims, config.maxTokenSeconds, nowSeconds);
    const status = await limit(() => review(fetch, config, { token, audience: config.audience ?? audience }));
    return {
      ...attestedPod(config.name, podIdentityOf(status)),
      expiresAt,
      singleUse: singleUseOf({ claims: unverifiedClaims, expiresAt, digest }, config),
    };
  };
}

function requireShortLife(claims: JsonObject, maxTokenSeconds: number, nowSeconds: number): number {
  const { exp, iat } = claims;
  if (typeof exp !== "number" || typeof iat !== "number" || !Number.isSafeInteger(exp))
    throw malformed("exp or iat");
  if (!(nowSeconds < exp)) throw expired("exp");
  if (!(exp - iat <= maxTokenSeconds)) throw expired("the token lives too long");
  return exp;
}

/** The status of a review in which the token was found good and made for us. */
async function review(
  fetch: SafeFetch,
  config: ClusterReviewConfig,
  { token, audience }: { readonly token: string; readonly audience: string },
): Promise<JsonObject> {
  const { status: httpStatus, body } = await fetch({
    url: new URL(REVIEWS_PATH, config.apiServer.url).href,
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json",
      authorization: `Bearer ${await readOwnToken(config.tokenFile)}`,
    },
    body: JSON.stringify({
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    }),
    maxBytes: MAX_ANSWER_BYTES,
  });
  if (httpStatus !== 201 && httpStatus !== 200) throw unavailable("the API server did not review the token");
  const status = parseStatus(body);
  if (status.authenticated !== true) throw refused("the API server does not know the token");
  const { audiences } = status;
  if (!Array.isArray(audiences) || !audiences.includes(audience)) throw refused("audience");
  return status;
}

function parseStatus(body: Uint8Array): JsonObject {
  try {
    const answer = parseJsonObject(parseUtf8(body));
    if (answer.kind !== "TokenReview") throw unavailable("the answer is no TokenReview");
    return objectOf(answer, "status");
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw unavailable("the answer is no TokenReview", cause);
  }
}

function podIdentityOf(status: JsonObject): PodIdentity {
  const user = objectOf(status, "user");
  const match = USERNAME.exec(textOf(user, "username"));
  const [, namespace, serviceAccount] = match ?? [];
  if (namespace === undefined || serviceAccount === undefined) throw refused("not a service account");
  const extra = optionalObjectOf(user, "extra") ?? {};
  return {
    namespace,
    serviceAccount,
    podName: onlyText(extra, POD_NAME),
    podUid: onlyText(extra, POD_UID),
    nodeName: onlyText(extra, NODE_NAME),
  };
}

/** Extra members are lists; of two names for one pod neither is believed. */
function onlyText(extra: JsonObject, name: string): string | undefined {
  const list = Object.hasOwn(extra, name) ? extra[name] : undefined;
  if (list === undefined) return undefined;
  if (!Array.isArray(list) || list.length !== 1 || typeof list[0] !== "string") throw refused("pod or node");
  return list[0];
}

async function readOwnToken(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, "utf8")).trim();
  } catch (cause) {
    throw unavailable("the server's own token cannot be read", cause);
  }
  if (text.length === 0 || text.length > MAX_OWN_TOKEN_CHARS || /[^\x21-\x7e]/.test(text)) {
    throw unavailable("the server's own token is not one");
  }
  return text;
}
