/** What a server answers is believed for exactly the keys and ids that were asked for. */
import { describe, expect, it } from "vitest";
import { createCredential } from "./credential.ts";
import { createInstanceKey } from "./instance-key.ts";
import {
  AGENT_ID,
  bundle,
  createTestRuntime,
  issueIdentity,
  NOW,
  type TestIdentity,
  TRUST_DOMAIN,
} from "./support.test.helpers.ts";
import { TrustServer } from "./trust-server.ts";

const CLASS_ID = "spiffe://acme.test/team/finance/payment-agent";
const runtime = createTestRuntime();
const address = { url: "https://127.0.0.1:1", trustDomain: TRUST_DOMAIN, authoritiesSha256: "" };
const server = new TrustServer({ origin: new URL(address.url), bundle, address, runtime });
const own = issueIdentity(AGENT_ID);
const textsOf = ({ chain }: TestIdentity) => chain.map((der) => Buffer.from(der).toString("base64url"));

/** The class SVID of an answer that has this one. */
function readClass(given: TestIdentity | null, classKey = given?.key) {
  const answer = {
    ...{ spiffe_id: AGENT_ID, agent_id: "agt_1", instance_id: "inst-01JAGENT", owner_id: "own_1" },
    ...{ name: "payment-agent", path: "team/finance", scope: [], chain: [] },
    limits: { depth: 0, fan_out: 0, budget: null },
    svid_chain: textsOf(own),
    class_svid_chain: given === null ? null : textsOf(given),
    ...{ svid_expires_at: NOW + 3600, instance_expires_at: NOW + 3600, ttl_shortened: false },
    ...{ event_id: "e", acknowledgement: "a" },
  };
  return createCredential({ answer, key: own.key, classKey, server, runtime }).ofClass;
}

describe("a class SVID of an answer", () => {
  const untrusted = expect.objectContaining({ code: "server_untrusted" });

  it("is the one that was asked for, and none unless it was", () => {
    const given = issueIdentity(CLASS_ID);
    expect(readClass(given)).toMatchObject({ id: CLASS_ID, chain: given.chain, key: given.key });
    expect(readClass(null)).toBeUndefined();
  });

  it("is refused when it is missing, for another key or id, or lasts longer than the instance's", () => {
    expect(() => readClass(null, createInstanceKey())).toThrow(untrusted);
    expect(() => readClass(issueIdentity(CLASS_ID), createInstanceKey())).toThrow(untrusted);
    expect(() => readClass(issueIdentity("spiffe://acme.test/team/finance/other"))).toThrow(untrusted);
    expect(() => readClass(issueIdentity(AGENT_ID))).toThrow(untrusted);
    expect(() => readClass(issueIdentity(CLASS_ID, createInstanceKey(), NOW + 3601))).toThrow(untrusted);
  });
});
