/** SVIDs are renewed at half life, used until they end, and not a second longer. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Credential } from "./credential.ts";
import { createCredential } from "./credential.ts";
import {
  AGENT_ID,
  bundle,
  createTestRuntime,
  issueIdentity,
  NOW,
  type TestRuntime,
  TRUST_DOMAIN,
} from "./support.test.helpers.ts";
import { SvidHolder } from "./svid-holder.ts";
import { TrustServer } from "./trust-server.ts";

const LIFE_SECONDS = 3600;

function createCredentialAt(runtime: TestRuntime): Credential {
  const { key, chain } = issueIdentity(AGENT_ID);
  const address = { url: "https://127.0.0.1:1", trustDomain: TRUST_DOMAIN, authoritiesSha256: "" };
  const server = new TrustServer({ origin: new URL(address.url), bundle, address, runtime });
  const svid_chain = chain.map((der) => Buffer.from(der).toString("base64url"));
  return createCredential({ answer: createAnswer(svid_chain), key, server, runtime });
}

function createAnswer(svid_chain: string[]): Parameters<typeof createCredential>[0]["answer"] {
  const limits = { depth: 0, fan_out: 0, budget: null };
  return {
    spiffe_id: AGENT_ID,
    agent_id: "agt_1",
    instance_id: "inst-1",
    owner_id: "own_1",
    name: "a",
    path: "",
    scope: [],
    limits,
    chain: [],
    svid_chain,
    svid_expires_at: NOW + LIFE_SECONDS,
    instance_expires_at: NOW + 2 * LIFE_SECONDS,
    class_svid_chain: null,
    ttl_shortened: false,
    event_id: "e",
    acknowledgement: "a",
  };
}

describe("the holder of an SVID", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  function createHolder(options: { readonly fail?: boolean; readonly instanceExpiresAt?: number } = {}) {
    const runtime = createTestRuntime();
    const renewals: Credential[] = [];
    const first = createCredentialAt(runtime);
    const holder = new SvidHolder({
      first,
      instanceExpiresAt: options.instanceExpiresAt ?? NOW + 10 * LIFE_SECONDS,
      runtime,
      renew: async (current) => {
        renewals.push(current);
        if (options.fail) throw new TrustWardenError("server_unreachable");
        return createCredentialAt(runtime);
      },
    });
    const pass = async (seconds: number) => {
      runtime.advance(seconds * 1000);
      await vi.advanceTimersByTimeAsync(seconds * 1000);
    };
    return { holder, first, renewals, runtime, pass };
  }

  it("takes a new key at half life or a little before", async () => {
    const { holder, first, renewals, pass } = createHolder();
    await pass(LIFE_SECONDS * 0.44);
    expect(renewals).toHaveLength(0);
    await pass(LIFE_SECONDS * 0.07);
    expect(renewals).toEqual([first]);
    expect(holder.current().key.thumbprint).not.toBe(first.key.thumbprint);
  });

  it("does not renew an SVID that lasts as long as its instance", async () => {
    const { renewals, pass } = createHolder({ instanceExpiresAt: NOW + LIFE_SECONDS });
    await pass(LIFE_SECONDS);
    expect(renewals).toHaveLength(0);
  });

  it("goes on with the old one when it cannot be renewed, says so, and tries again", async () => {
    const { holder, first, renewals, runtime, pass } = createHolder({ fail: true });
    await pass(LIFE_SECONDS * 0.51);
    expect(holder.current()).toBe(first);
    expect(runtime.notices[0]?.code).toBe("server_unreachable");
    await pass(31);
    expect(renewals.length).toBeGreaterThan(1);
  });

  it("refuses to act with an SVID that has ended, to the second", async () => {
    const { holder, runtime } = createHolder({ fail: true });
    runtime.advance((LIFE_SECONDS - 1) * 1000);
    expect(() => holder.current()).not.toThrow();
    runtime.advance(1000);
    expect(() => holder.current()).toThrow(expect.objectContaining({ code: "identity_expired" }));
  });

  it("renews once when asked twice at the same time", async () => {
    const { holder, renewals } = createHolder();
    await Promise.all([holder.renew(), holder.renew()]);
    expect(renewals).toHaveLength(1);
  });

  it("does nothing after it is closed", async () => {
    const { holder, renewals, pass } = createHolder();
    holder.close();
    await pass(LIFE_SECONDS);
    expect(renewals).toHaveLength(0);
    expect(() => holder.current()).toThrow(expect.objectContaining({ code: "identity_closed" }));
    await expect(holder.renew()).rejects.toThrow(expect.objectContaining({ code: "identity_closed" }));
  });
});
