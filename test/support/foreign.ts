/** Workloads of another trust domain, with an issuer of their own: what a federated SPIRE would give them. */
import { randomBytes } from "node:crypto";
import { type Authority, createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { issueForeignAgent } from "@trustwarden/core/agentid/foreign-agent.ts";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { foreignAgentAnswer } from "@trustwarden/core/api/federation.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { ownerRequest, parseAnswer, serverIdOf, type TestInstance, type TestOwner, tlsOf } from "./actors.ts";
import { type RawAnswer, send } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { type TestServer, TRUST_DOMAIN } from "./server.ts";

export const WORKLOAD = "spiffe://partner.test/ns/prod/sa/worker";

/** An issuer of another trust domain, valid now. */
export interface ForeignDomain extends Authority {
  readonly intermediateSigner: Signer;
}

export function createForeignDomain(name = "partner.test"): ForeignDomain {
  const intermediateSigner = createTestSigner();
  const authority = createAuthority({
    trustDomain: parseTrustDomain(name),
    rootSigner: createTestSigner(),
    intermediateSigner,
    jwtSigner: createTestSigner(),
    random: randomBytes,
    now: Math.floor(Date.now() / 1000),
  });
  return { ...authority, intermediateSigner };
}

/** An SVID of the domain with its key. */
export function issueForeignSvid(domain: ForeignDomain, spiffeId = WORKLOAD, signer = createTestSigner()) {
  const now = Math.floor(Date.now() / 1000);
  const leaf = issueLeafCertificate({
    id: parseSpiffeId(spiffeId),
    spki: encodeSpki(signer.publicKey),
    ca: domain.intermediate,
    signer: domain.intermediateSigner,
    serial: createSerial(randomBytes),
    now,
    notAfter: now + 3600,
  });
  return { spiffeId, signer, chain: [leaf, domain.intermediate.der] };
}

/** The owner's word for a workload. */
export function registrationOf(
  owner: TestOwner,
  options: {
    readonly spiffeId?: string;
    readonly scope?: readonly string[];
    readonly name?: string;
    readonly ttlSeconds?: number;
  } = {},
): string {
  const now = Math.floor(Date.now() / 1000);
  return issueForeignAgent(
    {
      v: 1,
      kind: "foreign",
      jti: formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length))),
      aud: `spiffe://${TRUST_DOMAIN}`,
      iat: now,
      exp: now + (options.ttlSeconds ?? 86_400),
      owner: owner.ownerId,
      path: "partners",
      name: options.name ?? "worker",
      scope: parseScope(options.scope ?? ["read:transactions"]),
      spiffe_id: parseSpiffeId(options.spiffeId ?? WORKLOAD),
    },
    owner.signer,
  );
}

/** Brings a registration to the server in the owner's name. */
export async function postRegistration(
  server: TestServer,
  owner: TestOwner,
  registration: string,
): Promise<RawAnswer> {
  const body = JSON.stringify({ registration });
  const aud = await serverIdOf(server);
  return send(server.url, ownerRequest(owner, { method: "POST", target: "/v1/foreign-agents", body, aud }));
}

/** A registered workload as the tests' other actors are. */
export function foreignInstanceOf(
  answer: RawAnswer,
  svid: ReturnType<typeof issueForeignSvid>,
): TestInstance {
  const registered = parseAnswer(foreignAgentAnswer, answer);
  return {
    signer: svid.signer,
    svidSha256: encodeBase64url(sha256(svid.chain[0] ?? new Uint8Array())),
    tls: tlsOf(svid.signer, svid.chain),
    answer: {
      ...{
        spiffe_id: registered.spiffe_id,
        agent_id: registered.agent_id,
        instance_id: registered.instance_id,
      },
      ...{ owner_id: registered.owner_id, name: "worker", path: "partners", scope: registered.scope },
      limits: { depth: 0, fan_out: 0, budget: 0 },
      chain: registered.chain,
      svid_chain: svid.chain.map(encodeBase64url),
      ...{ svid_expires_at: 0, instance_expires_at: registered.expires_at, ttl_shortened: false },
      ...{ class_svid_chain: null, event_id: "", acknowledgement: "" },
    },
  };
}
