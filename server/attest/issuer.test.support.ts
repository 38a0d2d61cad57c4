/** An issuer of tokens on loopback: real keys, real documents, and every way of getting them wrong. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { JsonObject } from "@trustwarden/core/json.ts";

/** An hour ahead: certificates that a test makes are valid from the machine's time on. */
export const NOW = Math.floor(Date.now() / 1000) + 3600;
export const AUDIENCE = "spiffe://acme.test";
export const CONTEXT = { nowSeconds: NOW, audience: AUDIENCE, nonce: "a-nonce-of-the-server" };

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Header and payload as given, signed as the header says or as asked. */
export function forgeToken(header: object, claims: unknown, signature: (input: string) => Buffer): string {
  const input = `${encode(header)}.${typeof claims === "string" ? Buffer.from(claims).toString("base64url") : encode(claims)}`;
  return `${input}.${signature(input).toString("base64url")}`;
}

/** A key pair of an issuer. */
export class TestKey {
  readonly kid: string;
  readonly alg: "RS256" | "ES256";
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;

  constructor(kid: string, alg: "RS256" | "ES256" = "RS256", bits = 2048) {
    this.kid = kid;
    this.alg = alg;
    const pair =
      alg === "RS256"
        ? generateKeyPairSync("rsa", { modulusLength: bits })
        : generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.publicKey = pair.publicKey;
    this.privateKey = pair.privateKey;
  }

  get jwk(): JsonObject {
    return { ...this.bareJwk, kid: this.kid, alg: this.alg, use: "sig" };
  }

  get bareJwk(): Record<string, string> {
    return Object.fromEntries(
      Object.entries(this.publicKey.export({ format: "jwk" })).map(([name, value]) => [name, String(value)]),
    );
  }

  signature(input: string): Buffer {
    return sign("sha256", Buffer.from(input), { key: this.privateKey, dsaEncoding: "ieee-p1363" });
  }

  /** A well-made token; header members may be changed, added or (undefined) removed. */
  token(claims: unknown, header: object = {}): string {
    return forgeToken({ alg: this.alg, kid: this.kid, typ: "JWT", ...header }, claims, (input) =>
      this.signature(input),
    );
  }

  /** HS256 with the public key as the secret, in the two forms that careless verifiers have used. */
  confusedToken(claims: unknown, header: object = {}): readonly string[] {
    const secrets = [
      this.publicKey.export({ type: "spki", format: "pem" }),
      this.publicKey.export({ type: "spki", format: "der" }),
    ];
    return secrets.map((secret) =>
      forgeToken({ alg: "HS256", kid: this.kid, typ: "JWT", ...header }, claims, (input) =>
        createHmac("sha256", secret).update(input).digest(),
      ),
    );
  }
}

/** A server on loopback that answers as its handler does, and counts. */
export interface TestHttp {
  readonly url: string;
  readonly requests: readonly { readonly url: string; readonly headers: IncomingMessage["headers"] }[];
  close(): Promise<void>;
}

export async function serve(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestHttp> {
  const requests: { url: string; headers: IncomingMessage["headers"] }[] = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url ?? "", headers: request.headers });
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** An issuer that publishes a discovery document and its keys. */
export interface TestIssuer extends TestHttp {
  keys: readonly TestKey[];
  isDown: boolean;
}

export async function startIssuer(keys: readonly TestKey[]): Promise<TestIssuer> {
  const state = { keys, isDown: false };
  const http = await serve((request, response) => {
    const body = request.url === "/keys" ? { keys: state.keys.map(({ jwk }) => jwk) } : discovery();
    response.statusCode = state.isDown ? 503 : 200;
    response.end(JSON.stringify(body));
  });
  const discovery = () => ({ issuer: http.url, jwks_uri: `${http.url}/keys` });
  return Object.assign(state, http);
}
