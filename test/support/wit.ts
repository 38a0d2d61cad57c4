/** WIT-SVIDs for tests: getting one, and showing it to the gateway and the token endpoint. */
import { randomUUID } from "node:crypto";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { witSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { issueClientAttestation } from "@trustwarden/core/client-attestation.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { issueMessageSignature } from "@trustwarden/core/http-signature.ts";
import { issueWorkloadProof } from "@trustwarden/core/workload-proof.ts";
import { nonceOf, parseAnswer, serverIdOf, signedRequest, type TestInstance } from "./actors.ts";
import { type RawAnswer, send } from "./http.ts";
import { createTestSigner, type TestKey } from "./oauth.ts";
import type { TestServer } from "./server.ts";

/** The setting without which there are none. */
export const WIT_ON = { workloadApi: { witSvid: true } } as const;

/** A token and its key. */
export interface TestWit {
  readonly token: string;
  readonly key: TestKey;
}

/** A WIT-SVID of an instance, for a fresh key. */
export async function witOf(
  server: TestServer,
  caller: TestInstance,
  key = createTestSigner(),
): Promise<TestWit> {
  const nonce = await nonceOf(server);
  const possession = issuePossession({ nonce, enrolmentSha256: caller.svidSha256 }, key);
  const body = JSON.stringify({ possession, spki: encodeBase64url(encodeSpki(key.publicKey)) });
  const aud = await serverIdOf(server);
  const asked = { method: "POST", target: "/v1/wit-svids", body, action: "issue:jwt-svid", aud };
  const answer = await send(server.url, signedRequest(caller, asked), caller.tls);
  return { token: parseAnswer(witSvidAnswer, answer).svid, key };
}

/** A nonce for the next message signature, as the gateway asks for it. */
export async function signatureNonceOf(gateway: string): Promise<string> {
  const metadata = await send(gateway, { target: "/.well-known/oauth-protected-resource/shop" });
  return /nonce="([^"]+)"/.exec(String(metadata.headers["accept-signature"]))?.[1] ?? "none";
}

/** What a caller with a WIT-SVID sends. */
export interface ShownWit extends TestWit {
  readonly method?: string;
  readonly target?: string;
  readonly body?: string;
  /** Changes to what the proof says. */
  readonly proof?: Partial<Parameters<typeof issueWorkloadProof>[0]>;
  /** Signs the message in the place of the token's key; null for no signature. */
  readonly message?: TestKey | null;
  /** Of the signature. */
  readonly nonce?: string;
  /** Over what is signed. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The target that is sent, when another one was signed. */
  readonly sentTarget?: string;
  readonly sentBody?: string;
  readonly sentMethod?: string;
}

/** Sends a call that presents a WIT-SVID. */
export async function showWit(gateway: string, shown: ShownWit): Promise<RawAnswer> {
  const { method = "GET", target = "/shop/items/1", body = "", token, key, message = key } = shown;
  const now = Math.floor(Date.now() / 1000);
  const [path = ""] = target.split("?");
  const made = { url: `${gateway}${path}`, wit: token, jti: randomUUID(), now, signer: key, ...shown.proof };
  const credentials = { authorization: `WPT ${issueWorkloadProof(made)}`, "workload-identity-token": token };
  const bytes = new TextEncoder().encode(body);
  const plain = { method, url: `${gateway}${target}`, headers: credentials, body: bytes };
  const nonce = shown.nonce ?? (await signatureNonceOf(gateway));
  const signed = message === null ? {} : issueMessageSignature(plain, { signer: message, now, nonce });
  const headers = { ...credentials, ...signed, ...shown.headers };
  const sent = shown.sentBody ?? body;
  return send(gateway, {
    method: shown.sentMethod ?? method,
    target: shown.sentTarget ?? target,
    headers,
    ...(sent === "" ? {} : { body: sent }),
  });
}

/** Headers of a client that authenticates with a WIT-SVID. */
export function attestationFor(
  issuer: string,
  client: TestInstance,
  { token, key }: TestWit,
  changes: {
    readonly audience?: string;
    readonly now?: number;
    readonly jti?: string;
    readonly signer?: TestKey;
  } = {},
): Readonly<Record<string, string>> {
  const asked = {
    audience: issuer,
    clientId: client.answer.spiffe_id,
    now: Math.floor(Date.now() / 1000),
    ...changes,
  };
  const proof = issueClientAttestation(asked, { jti: randomUUID(), signer: key, ...changes });
  return { "oauth-client-attestation": token, "oauth-client-attestation-pop": proof };
}
