/** A trust domain made for one run: the product's own authority and software keys, thrown away afterwards. */
import { randomBytes } from "node:crypto";
import { type Authority, createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { formatSpiffeId, parseTrustDomain, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  createSerial,
  draftLeafCertificate,
  issueLeafCertificate,
} from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeCertificate } from "@trustwarden/core/agentid/svid-profile-template.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { SigningLeaf } from "@trustwarden/core/intent.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../server/signer/software.ts";
import { pooledRandom } from "../server/store/random-pool.ts";

const HOUR_SECONDS = 3600;
const TRUST_DOMAIN = "bench.test";
/** As the writer draws its serials. */
const random = pooledRandom(randomBytes);
const ULID = "01JBENCH00000000000000000";

/** An authority with the key that issues leaves. */
export interface Domain {
  readonly authority: Authority;
  readonly issuer: Signer;
  /** Unix seconds at which everything of the run happens. */
  readonly now: number;
}

/** Somebody with an SVID. */
export interface Party {
  readonly id: SpiffeId;
  readonly signer: Signer;
  readonly leaf: SigningLeaf;
}

/** A fresh P-256 key, held as the server holds its keys. */
export function createSigner(): Signer {
  return createSoftwareSigner(createPrivateKeyPkcs8("ES256"));
}

/** A fresh trust domain. */
export function createDomain(): Domain {
  const now = Math.floor(Date.now() / 1000);
  const issuer = createSigner();
  const authority = createAuthority({
    trustDomain: parseTrustDomain(TRUST_DOMAIN),
    rootSigner: createSigner(),
    intermediateSigner: issuer,
    jwtSigner: createSigner(),
    random: randomBytes,
    now: now - HOUR_SECONDS,
  });
  return { authority, issuer, now };
}

/** One more SVID, valid for an hour. */
export function issueSvid(domain: Domain, id: SpiffeId, spki: Uint8Array): Uint8Array {
  return issueLeafCertificate({ ...leafOf(domain, id, spki), signer: domain.issuer });
}

/** The same without the proof that each SVID has before it leaves. */
export function signSvid(domain: Domain, id: SpiffeId, spki: Uint8Array): Uint8Array {
  const { tbs } = draftLeafCertificate(leafOf(domain, id, spki));
  return encodeCertificate(tbs, domain.issuer.sign(tbs));
}

function leafOf({ authority, now }: Domain, id: SpiffeId, spki: Uint8Array) {
  return {
    id,
    spki,
    ca: authority.intermediate,
    serial: createSerial(random),
    now,
    notAfter: now + HOUR_SECONDS,
  };
}

/** The three who sign what is in a ledger. */
export function createParties(domain: Domain): Readonly<Record<"agent" | "service" | "server", Party>> {
  return {
    agent: createParty(domain, ["team", "finance", "payment-agent", `inst-${ULID}A`]),
    service: createParty(domain, ["trustwarden", "verifier", "finance", `inst-${ULID}S`]),
    server: createParty(domain, ["trustwarden", "server", `${ULID}T`]),
  };
}

function createParty(domain: Domain, path: readonly string[]): Party {
  const signer = createSigner();
  const id = formatSpiffeId(domain.authority.trustDomain, path);
  const der = issueSvid(domain, id, encodeSpki(signer.publicKey));
  const { sha256, publicKey } = parseCertificate(der);
  return { id, signer, leaf: { sha256, publicKey } };
}
