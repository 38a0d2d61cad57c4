/** Who visits, and whether the intent is for this very request. */
import { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { createRouteTable, matchRoute } from "@trustwarden/core/route-table.ts";
import { describe, expect, it } from "vitest";
import { createInstanceKey } from "./instance-key.ts";
import { type IntentDraft, IntentWriter } from "./intent-writer.ts";
import {
  AGENT_ID,
  bundle,
  createTestRuntime,
  issueIdentity,
  NOW,
  SERVER_ID,
  SERVICE_ID,
  type TestIdentity,
} from "./support.test.helpers.ts";
import { openVisit, type VisitArrival } from "./visit.ts";

const table = createRouteTable([
  { method: "GET", path: "/t/{id}", action: "read:transactions", resource: "postgres://db/t" },
  { method: "DELETE", path: "/t/{id}", action: "delete:transactions", resource: "postgres://db/t" },
]);
const agent = issueIdentity(AGENT_ID);
const receiver = {
  id: SERVICE_ID,
  chains: new ProvenChains(new Map([[bundle.trustDomain, bundle]])),
  now: NOW,
};
const salt = new Uint8Array(32).fill(9);
const body = encodeUtf8('{"amount":1}');

interface Changes {
  readonly signer?: TestIdentity;
  readonly draft?: Partial<IntentDraft>;
  readonly signedFor?: { readonly method?: string; readonly target?: string; readonly body?: Uint8Array };
  readonly arrival?: Partial<VisitArrival>;
}

/** A good visit, except for what a test changes. */
function arrive({ signer = agent, draft = {}, signedFor = {}, arrival = {} }: Changes = {}): VisitArrival {
  const target = parseRequestTarget("/t/1?full=yes");
  const runtime = createTestRuntime();
  const writer = new IntentWriter({ agentId: "agt_1", runtime, seen: () => null });
  const request = formatRequestCommitment({ method: "GET", target: target.text, body, ...signedFor }, salt);
  const { envelope } = writer.sign(
    {
      action: "read:transactions",
      resource: "postgres://db/t",
      request,
      params: null,
      audience: SERVICE_ID,
      ...draft,
    },
    { spiffeId: signer.svid.id, svidSha256: signer.svid.leaf.sha256, signer: signer.key.signer },
  );
  return {
    method: "GET",
    target,
    match: matchRoute(table, "GET", target),
    body,
    peerChain: agent.chain,
    intent: encodeBase64url(encodeUtf8(envelope)),
    salt: encodeBase64url(salt),
    approval: undefined,
    ...arrival,
  };
}

function codeOf(changes: Changes): string | undefined {
  try {
    openVisit(arrive(changes), receiver).prove();
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
  return undefined;
}

describe("a visit", () => {
  it("is proven by the socket's SVID and an intent for this request", () => {
    const visitor = openVisit(arrive(), receiver).prove();
    expect(visitor.svid.id).toBe(AGENT_ID);
    expect(visitor.intent.intent.action).toBe("read:transactions");
  });

  it("is refused without a certificate, intent or salt", () => {
    expect(codeOf({ arrival: { peerChain: [] } })).toBe("no_svid");
    expect(codeOf({ arrival: { intent: undefined } })).toBe("no_intent");
    expect(codeOf({ arrival: { salt: undefined } })).toBe("no_intent");
    expect(codeOf({ arrival: { salt: encodeBase64url(salt.slice(1)) } })).toBe("no_intent");
  });

  it("is refused when the intent of a read comes with a delete", () => {
    const target = parseRequestTarget("/t/1?full=yes");
    const match = matchRoute(table, "DELETE", target);
    expect(codeOf({ arrival: { method: "DELETE", match } })).toBe("intent_mismatch");
    // Also when the words are right but the commitment is the read's.
    expect(codeOf({ draft: { action: "delete:transactions" }, arrival: { method: "DELETE", match } })).toBe(
      "intent_mismatch",
    );
  });

  it("is refused when the intent names another action or resource than the route table", () => {
    expect(codeOf({ draft: { action: "read:reports" } })).toBe("intent_mismatch");
    expect(codeOf({ draft: { resource: "postgres://db/u" } })).toBe("intent_mismatch");
  });

  it("is refused with an altered body, target, method or salt", () => {
    expect(codeOf({ arrival: { body: encodeUtf8('{"amount":2}') } })).toBe("intent_mismatch");
    expect(codeOf({ signedFor: { target: "/t/1" } })).toBe("intent_mismatch");
    expect(codeOf({ signedFor: { method: "POST" } })).toBe("intent_mismatch");
    expect(codeOf({ arrival: { salt: encodeBase64url(new Uint8Array(32)) } })).toBe("intent_mismatch");
  });

  it("is refused when the intent is bound to no request at all", () => {
    expect(codeOf({ draft: { request: null } })).toBe("intent_mismatch");
  });

  it("is refused when the intent is for another service or the server", () => {
    const other = `${SERVICE_ID}X`;
    expect(codeOf({ draft: { audience: other } })).toBe("intent_audience");
    expect(codeOf({ draft: { audience: SERVER_ID } })).toBe("intent_audience");
  });

  it("is refused when another key signed, though the certificate is genuine", () => {
    const thief = { ...agent, key: createInstanceKey() };
    expect(codeOf({ signer: thief })).toBe("signature_invalid");
  });

  it("is opened before its signature is checked, and nobody is let in before that", () => {
    const thief = { ...agent, key: createInstanceKey() };
    const opened = openVisit(arrive({ signer: thief }), receiver);
    expect(() => opened.prove()).toThrow(expect.objectContaining({ code: "signature_invalid" }));
    // Nothing else is said of an intent that nobody signed.
    const badly: Changes = { signer: thief, draft: { action: "read:reports", audience: SERVER_ID } };
    expect(() => openVisit(arrive(badly), receiver)).toThrow(
      expect.objectContaining({ code: "signature_invalid" }),
    );
    expect(() => openVisit(arrive({ draft: { action: "read:reports" } }), receiver)).toThrow(
      expect.objectContaining({ code: "intent_mismatch" }),
    );
  });

  it("is refused when the intent belongs to another agent than the socket", () => {
    const other = issueIdentity(`${AGENT_ID}2`);
    expect(codeOf({ signer: other })).toBe("signature_invalid");
    // The same key certified twice: the certificate counts.
    const twin = issueIdentity(`${AGENT_ID}2`, agent.key);
    expect(codeOf({ signer: twin })).toBe("svid_mismatch");
  });

  it("is refused for class SVIDs, servers and verifiers, which are no agents", () => {
    const chainOf = (id: string) => ({ arrival: { peerChain: issueIdentity(id).chain } });
    expect(codeOf(chainOf("spiffe://acme.test/team/finance/payment-agent"))).toBe("svid_bearer_refused");
    expect(codeOf(chainOf(SERVER_ID))).toBe("svid_bearer_refused");
    expect(codeOf(chainOf(SERVICE_ID))).toBe("svid_bearer_refused");
  });

  it("is refused after the intent's minute and the allowed skew", () => {
    const at = (now: number) => () => openVisit(arrive(), { ...receiver, now }).prove();
    expect(at(NOW + 89)).not.toThrow();
    expect(at(NOW + 90)).toThrow(expect.objectContaining({ code: "intent_expired" }));
  });

  it("is refused after the SVID's end, also with a fresh intent", () => {
    const at = (now: number) => () => openVisit(arrive(), { ...receiver, now }).prove();
    expect(at(NOW + 3601)).toThrow(expect.objectContaining({ code: "svid_expired" }));
  });

  it("is refused with headers in a second spelling", () => {
    const { intent = "" } = arrive();
    expect(codeOf({ arrival: { intent: `${intent}=` } })).toBe("base64_malformed");
    expect(codeOf({ arrival: { intent: `${intent}, ${intent}` } })).toBe("base64_malformed");
  });
});
