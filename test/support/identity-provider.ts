/** An enterprise's identity provider on loopback: its keys, and the identity assertion grants that it gives. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export const ID_JAG = "oauth-id-jag+jwt";
export const ID_JAG_TYPE = "urn:ietf:params:oauth:token-type:id-jag";
export const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** What a grant says; a member that is undefined is left out. */
export type GrantClaims = Readonly<Record<string, unknown>>;

export interface IdentityProvider {
  readonly issuer: string;
  /** Where its keys are. */
  readonly keysUrl: string;
  /** How often its keys were asked for. */
  readonly asked: () => number;
  /** Answers its keys with this status from now on. */
  answer(status: number): void;
  /** A grant, honest apart from what is changed. */
  grant(claims: GrantClaims, header?: GrantClaims): Promise<string>;
  close(): void;
}

/** @param alg - such as `RS256`, which our own tokens never have. */
export async function startIdentityProvider(alg: "RS256" | "ES256" = "RS256"): Promise<IdentityProvider> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "idp-1", alg, use: "sig" };
  let status = 200;
  let asked = 0;
  const program = createServer((_request, response) => {
    asked += 1;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  program.unref();
  const { port } = program.address() as AddressInfo; // cast: a TCP server that listens has a port
  const issuer = "https://idp.acme.test";
  return {
    issuer,
    keysUrl: `http://127.0.0.1:${port}/keys`,
    asked: () => asked,
    answer: (next) => {
      status = next;
    },
    grant: (claims, header = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const basics = { iss: issuer, iat: now, exp: now + 300, jti: randomUUID() };
      const given = Object.entries({ ...basics, ...claims }).filter(([, value]) => value !== undefined);
      return new SignJWT(Object.fromEntries(given))
        .setProtectedHeader({ alg, kid: "idp-1", typ: ID_JAG, ...header })
        .sign(privateKey);
    },
    close: () => {
      program.closeAllConnections();
      program.close();
    },
  };
}
