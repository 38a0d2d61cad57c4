/** What a child asks for, what its parent signs, and tickets that are for somebody else. */
import { verifyGrant } from "@trustwarden/core/agentid/enrolment.ts";
import { parseGrantValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { digestOfAuthorities } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import { describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { createCredential } from "./credential.ts";
import { formatRequest, issueGrantFor, parseRequest, requireIssuedAs, requireTicketFor } from "./grant.ts";
import {
  AGENT_ID,
  bundle,
  createTestRuntime,
  issueIdentity,
  NOW,
  TRUST_DOMAIN,
} from "./support.test.helpers.ts";
import { TrustServer } from "./trust-server.ts";

const runtime = createTestRuntime();
const withCode = (code: string) => expect.objectContaining({ code });
const address = {
  url: "https://127.0.0.1:7443",
  trustDomain: TRUST_DOMAIN,
  authoritiesSha256: digestOfAuthorities(bundle),
};
const server = new TrustServer({ origin: new URL(address.url), bundle, address, runtime });
const parent = issueIdentity(AGENT_ID);

function answerOf(changes: Partial<IdentityAnswer> = {}): IdentityAnswer {
  return {
    spiffe_id: AGENT_ID,
    agent_id: "agt_1",
    instance_id: "inst-01JAGENT",
    owner_id: "own_1",
    name: "payment-agent",
    path: "team/finance",
    scope: ["read:a", "write:b"],
    limits: { depth: 2, fan_out: 4, budget: 100 },
    chain: ["owner:own_1", "agt_1"],
    svid_chain: parent.chain.map((der) => Buffer.from(der).toString("base64url")),
    svid_expires_at: NOW + 3600,
    instance_expires_at: NOW + 3600,
    class_svid_chain: null,
    ttl_shortened: false,
    event_id: "e",
    acknowledgement: "a",
    ...changes,
  };
}

const credential = createCredential({ answer: answerOf(), key: parent.key, server, runtime });
const child = { name: "fetcher", scope: ["read:a"] };

describe("a grant", () => {
  it("is for one child's key, by the parent's live SVID, for a minute, in the parent's path", () => {
    const thumbprint = "B".repeat(43);
    const signed = issueGrantFor({ child, thumbprint, parent: answerOf(), credential, server, runtime });
    const check = { publicKey: parent.svid.leaf.publicKey, audience: TRUST_DOMAIN, now: NOW };
    const grant = verifyGrant(signed.envelope, check);
    expect(grant).toMatchObject({
      name: "fetcher",
      path: "team/finance",
      scope: ["read:a"],
      ttl_seconds: 3600,
      child_thumbprint: thumbprint,
      parent: AGENT_ID,
      svid_sha256: parent.svid.leaf.sha256,
      exp: NOW + 60,
    });
    expect(parseGrantValue(signed.text)).toMatchObject({ server: address.url, grant: signed.envelope });
  });

  it("hands on one generation less and no budget unless it says so", () => {
    const options = { thumbprint: "B".repeat(43), parent: answerOf(), credential, server, runtime };
    const limitsOf = (limits?: object) => {
      const { envelope } = issueGrantFor({ ...options, child: { ...child, ...(limits && { limits }) } });
      return verifyGrant(envelope, {
        publicKey: parent.svid.leaf.publicKey,
        audience: TRUST_DOMAIN,
        now: NOW,
      }).limits;
    };
    expect(limitsOf()).toEqual({ depth: 1, fan_out: 4, budget: 0 });
    expect(limitsOf({ depth: 0, fanOut: 1, budget: 5 })).toEqual({ depth: 0, fan_out: 1, budget: 5 });
  });

  it("is refused for a malformed name, scope or lifetime before anything is sent", () => {
    const options = { thumbprint: "B".repeat(43), parent: answerOf(), credential, server, runtime };
    const issue = (changes: object) => () => issueGrantFor({ ...options, child: { ...child, ...changes } });
    expect(issue({ name: "inst-x" })).toThrow(withCode("name_malformed"));
    expect(issue({ name: "a/b" })).toThrow(withCode("name_malformed"));
    expect(issue({ scope: ["read:a,delete:b"] })).toThrow(withCode("scope_malformed"));
    expect(issue({ ttl: "1h; drop" })).toThrow(withCode("ttl_malformed"));
  });
});

describe("a request across processes", () => {
  it("carries what the child wants and its key's thumbprint, and no secret", () => {
    const { text } = formatRequest({ ...child, ttl: "10m" }, "B".repeat(43));
    const parsed = parseRequest(text);
    expect(parsed).toEqual({
      child: { name: "fetcher", scope: ["read:a"], ttl: "600s", limits: { depth: 0, fanOut: 0, budget: 0 } },
      thumbprint: "B".repeat(43),
    });
  });

  it("is for a new key each time", () => {
    const first = AgentIdentity.request(child);
    const second = AgentIdentity.request(child);
    expect(parseRequest(first.text).thumbprint).not.toBe(parseRequest(second.text).thumbprint);
  });
});

describe("a ticket", () => {
  const ticket = { kind: "agent", name: "orchestrator", scope: ["read:a", "write:b"], ttl_seconds: 3600 };

  it("is for the agent of its name, and what it says is what is expected", () => {
    expect(requireTicketFor({ name: "orchestrator" }, ticket)).toEqual({
      name: "orchestrator",
      scope: ticket.scope,
    });
    const same = { name: "orchestrator", scope: ["write:b", "read:a"], ttl: "60m" };
    expect(() => requireTicketFor(same, ticket)).not.toThrow();
  });

  it("is refused when it says anything else than what is asked", () => {
    const name = "orchestrator";
    const bad = [
      { name: "other" },
      { name, scope: ["read:a"] },
      { name, scope: ["read:a", "write:b", "write:c"] },
      { name, ttl: "2h" },
      { name, limits: { depth: 1 } },
    ];
    for (const asked of bad)
      expect(() => requireTicketFor(asked, ticket)).toThrow(withCode("ticket_mismatch"));
    expect(() => requireTicketFor({ name }, { ...ticket, kind: "verifier" })).toThrow(
      withCode("ticket_mismatch"),
    );
  });

  it("is asked for when there is none, and a parent that is only a text is refused", async () => {
    await expect(AgentIdentity.create({ name: "a", ticket: "" })).rejects.toThrow(withCode("ticket_missing"));
    await expect(AgentIdentity.create({ name: "a", ticket: "tw1.x" })).rejects.toThrow(
      withCode("ticket_invalid"),
    );
    await expect(AgentIdentity.create({ ...child, parent: AGENT_ID })).rejects.toThrow(
      withCode("parent_proof_missing"),
    );
  });
});

describe("what the server issues", () => {
  it("is what was asked for, or refused", () => {
    const expected = requireTicketFor(
      { name: "payment-agent" },
      { kind: "agent", name: "payment-agent", scope: ["read:a", "write:b"] },
    );
    expect(requireIssuedAs(answerOf(), expected)).toBe("agt_1");
    for (const changes of [{ name: "other" }, { scope: ["read:a"] }, { agent_id: null }]) {
      expect(() => requireIssuedAs(answerOf(changes), expected)).toThrow(withCode("server_untrusted"));
    }
  });

  it("is refused for another key or another id than asked for", () => {
    const other = issueIdentity(AGENT_ID);
    const create = (options: object) => () =>
      createCredential({ answer: answerOf(), key: parent.key, server, runtime, ...options });
    expect(create({})).not.toThrow();
    expect(create({ key: other.key })).toThrow(withCode("server_untrusted"));
    expect(create({ answer: answerOf({ spiffe_id: `${AGENT_ID}2` }) })).toThrow(withCode("server_untrusted"));
  });
});
