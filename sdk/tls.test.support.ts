/**
 * A small trust domain for tests over real TLS sockets: an authority, SVIDs, servers and credentials.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { formatSpiffeId, parseTrustDomain, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { type CurrentSvid, SERVER_TLS_OPTIONS } from "./tls.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));

/** An SVID with its key in every form that the tests need. */
export interface TestSvid {
  readonly id: SpiffeId;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: string;
  readonly cert: string;
  readonly current: CurrentSvid;
}

export interface TestDomain {
  readonly bundle: TrustBundle;
  /** A new SVID with a new key, valid for an hour unless told. */
  issue(
    segments: readonly string[],
    validity?: { readonly now?: number; readonly notAfter?: number },
  ): TestSvid;
}

export function createTestDomain(name = "acme.test"): TestDomain {
  const trustDomain = parseTrustDomain(name);
  const now = Math.floor(Date.now() / 1000);
  const intermediateSigner = createSigner();
  const { bundle, intermediate } = createAuthority({
    trustDomain,
    rootSigner: createSigner(),
    intermediateSigner,
    jwtSigner: createSigner(),
    random,
    now: now - 86_400,
  });
  return {
    bundle,
    issue: (segments, validity = {}) => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const id = formatSpiffeId(trustDomain, segments);
      const issuedAt = validity.now ?? now;
      const leaf = issueLeafCertificate({
        id,
        spki: encodeSpki(publicKey),
        ca: intermediate,
        signer: intermediateSigner,
        serial: createSerial(random),
        now: issuedAt,
        notAfter: validity.notAfter ?? issuedAt + 3600,
      });
      return createTestSvid(id, [leaf, intermediate.der], privateKey);
    },
  };
}

/** An HTTPS server with the SDK's TLS options on a free port of the loopback interface. */
export async function startTestServer(
  svid: TestSvid,
  handler?: RequestListener,
  port = 0,
): Promise<{ readonly server: Server; readonly url: string; readonly port: number }> {
  const server = createServer({ ...SERVER_TLS_OPTIONS, key: svid.key, cert: svid.cert }, handler);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  // The one cast: a server that listens on TCP has this kind of address.
  const bound = (server.address() as AddressInfo).port;
  return { server, url: `https://127.0.0.1:${bound}`, port: bound };
}

function createTestSvid(id: SpiffeId, chain: readonly Uint8Array[], privateKey: KeyObject): TestSvid {
  const key = String(privateKey.export({ type: "pkcs8", format: "pem" }));
  const cert = chain.map((der) => formatPem("CERTIFICATE", der)).join("");
  const current = {
    sha256: encodeBase64url(sha256(chain[0] ?? new Uint8Array())),
    secureContext: createSecureContext({ key, cert, minVersion: "TLSv1.3" }),
  };
  return { id, chain, key, cert, current };
}

function createSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey,
    sign: (data) => new Uint8Array(sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
}
