/** For tests: a registry in memory that issues real certificates of a test's trust domain, and a clock to go with it. */
import { randomBytes } from "node:crypto";
import {
  createTestDomain,
  NOW,
  type TestDomain,
} from "@trustwarden/core/agentid/certificate.test.support.ts";
import { parseSelectors } from "@trustwarden/core/agentid/selector.ts";
import { classIdOf, formatSpiffeId, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { issueWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { createDeliveredKey, type Runtime } from "trustwarden/peer.ts";
import type { NodeEntry } from "./entries.ts";
import type { IssuedInstance, IssuedSvid, Registry } from "./registry.ts";
import { issueTestJwt } from "./workload-api/endpoint.test.support.ts";

const TTL_SECONDS = 3600;

/** An entry with an id that sorts by its number. */
export function testEntry(number: number, selectors: readonly string[], hint = ""): NodeEntry {
  return {
    entryId: `ent_${String(number).padStart(26, "0")}`,
    enrolmentSha256: "",
    selectors: parseSelectors(selectors),
    path: "team",
    name: `agent-${number}`,
    hint,
    declared: () => [],
  };
}

/** A registry that a test steers, and what was asked of it. */
export interface MemoryRegistry extends Registry {
  readonly domain: TestDomain;
  entryList: readonly NodeEntry[];
  federated: readonly TrustBundle[];
  /** Thrown by every call until it is undefined again. */
  failure: unknown;
  readonly created: IssuedInstance[];
  readonly renewed: IssuedInstance[];
  /** Thumbprints of the keys that WIT-SVIDs were asked for. */
  readonly wits: string[];
  readonly ended: { readonly instanceId: string; readonly reason: string }[];
  /** Unix seconds, for certificates and for the runtime. */
  now: number;
  readonly runtime: Runtime;
}

export function createMemoryRegistry(): MemoryRegistry {
  const domain = createTestDomain();
  const fail = () => {
    if (registry.failure !== undefined) throw registry.failure;
  };
  const registry: MemoryRegistry = {
    domain,
    entryList: [],
    federated: [],
    failure: undefined,
    created: [],
    renewed: [],
    ended: [],
    wits: [],
    now: NOW,
    runtime: {
      nowMs: () => registry.now * 1000,
      // The clock of the test too: what is counted by the second must not depend on how busy the machine is.
      monotonicMs: () => registry.now * 1000,
      random: (length) => new Uint8Array(randomBytes(length)),
      notify: () => {},
    },
    entries: async () => {
      fail();
      return registry.entryList;
    },
    createInstance: async ({ path, name }) => {
      fail();
      const instanceId = `inst-${registry.created.length + 1}`;
      const id = formatSpiffeId(domain.trustDomain, [path, name, instanceId]);
      const issued = issue(registry, { instanceId, id, instanceExpiresAt: registry.now + 4 * TTL_SECONDS });
      registry.created.push(issued);
      return issued;
    },
    renewInstance: async ({ instanceId, svid, instanceExpiresAt }) => {
      fail();
      const issued = issue(registry, { instanceId, id: svid.spiffeId, instanceExpiresAt });
      registry.renewed.push(issued);
      return issued;
    },
    issueJwt: async ({ svid, classSvid }, { audience, identity }) => {
      fail();
      const id = identity === "class" && classSvid !== undefined ? classSvid.spiffeId : svid.spiffeId;
      const token = issueTestJwt(domain, { id, audience: audience[0] ?? "" });
      return { svid: token, expiresAt: registry.now + 300 };
    },
    isWitServed: () => true,
    issueWit: async ({ svid, classSvid }, { identity, key: { key } }) => {
      fail();
      const id = identity === "class" && classSvid !== undefined ? classSvid.spiffeId : svid.spiffeId;
      const expiresAt = registry.now + 300;
      const token = issueWitSvid({
        ...{ id, confirmationKey: key.signer.publicKey, kid: domain.witKid, jti: "j" },
        ...{ now: registry.now, ttlSeconds: 300, signer: domain.signers.wit },
      });
      registry.wits.push(key.thumbprint);
      return { svid: token, expiresAt };
    },
    issueGrant: ({ instanceId }, { path, request }) => `${instanceId} ${path} ${request}`,
    endInstance: async (instanceId, reason) => {
      fail();
      registry.ended.push({ instanceId, reason });
    },
    refresh: async () => fail(),
    bundles: () => [domain.bundle, ...registry.federated],
    mustRenew: () => false,
  };
  return registry;
}

function issue(
  { domain, now }: MemoryRegistry,
  {
    instanceId,
    id,
    instanceExpiresAt,
  }: { readonly instanceId: string; readonly id: SpiffeId; readonly instanceExpiresAt: number },
): IssuedInstance {
  const svidExpiresAt = Math.min(now + TTL_SECONDS, instanceExpiresAt);
  return {
    uid: 0,
    instanceId,
    agentId: `agt_${instanceId}`,
    ownerId: "own_1",
    chain: ["owner:own_1", "agt_parent", `agt_${instanceId}`],
    scope: ["read:transactions"],
    svid: issueSvid(domain, { id, now, svidExpiresAt }),
    classSvid: issueSvid(domain, { id: classIdOf(id), now, svidExpiresAt }),
    issuedAt: now,
    svidExpiresAt,
    instanceExpiresAt,
  };
}

function issueSvid(
  domain: TestDomain,
  { id, now, svidExpiresAt }: { readonly id: SpiffeId; readonly now: number; readonly svidExpiresAt: number },
): IssuedSvid {
  const { key, pkcs8 } = createDeliveredKey();
  const leaf = issueLeafCertificate({
    id,
    spki: key.spki,
    ca: domain.intermediate,
    signer: domain.signers.intermediate,
    serial: createSerial((length) => new Uint8Array(randomBytes(length))),
    now,
    notAfter: svidExpiresAt,
  });
  return { spiffeId: id, chain: [leaf, domain.intermediate.der], keyPkcs8: pkcs8, svidSha256: "" };
}
