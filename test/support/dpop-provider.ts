/**
 * An authorization server that binds its tokens to keys (RFC 9449), and a resource server that takes no others. Proofs and
 * tokens are judged by strangers: `jose` at the token endpoint, `oauth4webapi` at the resource. Both ask for nonces.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  calculateJwkThumbprint,
  decodeJwt,
  EmbeddedJWK,
  exportJWK,
  generateKeyPair,
  jwtVerify,
  SignJWT,
} from "jose";
import { allowInsecureRequests, validateJwtAccessToken } from "oauth4webapi";
import { openHttp } from "../../attacks/support/canary.ts";

/** Far more often than any wait for the next byte ends. */
const TRICKLE_MS = 20;
const AUDIENCE = "https://api.test";

/** Both servers at one origin. */
export interface DpopProvider {
  origin: string;
  /** Proofs that came with requests to the resource, and what became of each. */
  readonly shown: { readonly proof: string; readonly isTaken: boolean }[];
  /** Connections that requests to the resource came over. */
  readonly sockets: Set<object>;
  /** How many tokens were issued. */
  issued: number;
  /** The nonce that the resource wants from now on. */
  nonce: string;
  /** Of the tokens. */
  tokenType: string;
  /** Whether its refusals go on for ever, a byte at a time. */
  trickles: boolean;
}

/** Opens both; they are closed with the process. */
export async function openDpopProvider(): Promise<DpopProvider> {
  const keys = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: "1", alg: "ES256", use: "sig" };
  const provider: DpopProvider = {
    shown: [],
    sockets: new Set(),
    issued: 0,
    nonce: "rs-1",
    tokenType: "DPoP",
    trickles: false,
    origin: "",
  };
  provider.origin = await openHttp(async (request, response) => {
    if (request.url === "/jwks") return void response.end(JSON.stringify({ keys: [jwk] }));
    if (request.url === "/token") return answerToken(provider, keys.privateKey, { request, response });
    return answerResource(provider, { request, response });
  });
  return provider;
}

interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function answerToken(
  provider: DpopProvider,
  key: CryptoKey,
  { request, response }: Visit,
): Promise<void> {
  const proof = String(request.headers.dpop);
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { typ: "dpop+jwt" });
  const isFit = payload.htm === "POST" && payload.htu === `${provider.origin}/token`;
  if (!isFit) return void response.writeHead(400).end('{"error":"invalid_dpop_proof"}');
  if (payload.nonce !== "as-1") {
    response.writeHead(400, { "dpop-nonce": "as-1" }).end('{"error":"use_dpop_nonce"}');
    return;
  }
  provider.issued += 1;
  const jkt = await calculateJwkThumbprint(protectedHeader.jwk ?? { kty: "EC" });
  const token = await new SignJWT({ cnf: { jkt }, client_id: "gateway" })
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "1" })
    .setIssuer(provider.origin)
    .setSubject("gateway")
    .setAudience(AUDIENCE)
    .setJti(String(provider.issued))
    .setIssuedAt()
    .setExpirationTime("5m")
    .sign(key);
  const answer = { access_token: token, token_type: provider.tokenType, expires_in: 300 };
  response.end(JSON.stringify(answer));
}

async function answerResource(provider: DpopProvider, { request, response }: Visit): Promise<void> {
  const proof = String(request.headers.dpop);
  const isTaken = decodeJwt(proof).nonce === provider.nonce;
  provider.shown.push({ proof, isTaken });
  provider.sockets.add(request.socket);
  if (!isTaken) {
    const challenge = { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": provider.nonce };
    response.writeHead(401, challenge);
    if (provider.trickles) return trickle(response);
    return void response.end("a nonce, please");
  }
  const { authorization = "" } = request.headers;
  const { method = "" } = request;
  const asked = new Request(`${provider.origin}${request.url}`, {
    method,
    headers: { authorization, dpop: proof },
  });
  const server = { issuer: provider.origin, jwks_uri: `${provider.origin}/jwks` };
  try {
    const options = { requireDPoP: true, [allowInsecureRequests]: true };
    const { sub } = await validateJwtAccessToken(server, asked, AUDIENCE, options);
    response.writeHead(200, { "dpop-nonce": provider.nonce }).end(`hello ${sub}`);
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
}

function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write("."), TRICKLE_MS);
  response.once("close", () => clearInterval(timer));
}
