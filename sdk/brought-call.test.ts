/** What a service behind a gateway takes for a call that was decided there. */
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { describe, expect, it } from "vitest";
import { type BroughtCall, verifyBroughtCall } from "./brought-call.ts";
import {
  createTestAgent,
  issueReceipt,
  logVkey,
  SERVER_ID,
  SERVICE_ID,
  serverIdentity,
} from "./support.test.helpers.ts";

const sign = createTestAgent();
const salt = new Uint8Array(32).fill(7);
const request = { method: "POST", target: "/orders?full=1", body: encodeUtf8("one order") };
const intent = sign({
  action: "create:orders",
  resource: "shop://orders",
  request: formatRequestCommitment(request, salt),
  params: null,
  audience: SERVICE_ID,
});
const receipt = issueReceipt(intent);
const decidedMs = Date.parse(JSON.parse(atob(JSON.parse(receipt.decision).payload)).time);
const known = { server: serverIdentity.svid.leaf, logVkey, nowMs: decidedMs };
const headersOf = (shown = receipt): Readonly<Record<string, string>> => ({
  "trustwarden-receipt": formatReceiptHeader(shown),
  "trustwarden-intent": encodeBase64url(encodeUtf8(intent.envelope)),
  "trustwarden-salt": encodeBase64url(salt),
});
const brought: BroughtCall = { gateway: SERVICE_ID, request, headers: headersOf() };
const refusal = (reason: string) =>
  expect.objectContaining({ code: "receipt_invalid", details: expect.objectContaining({ reason }) });

describe("a call that a gateway brings", () => {
  it("is proven by the receipt, the intent and the salt together", () => {
    const proven = verifyBroughtCall(brought, known);
    expect(proven.intent).toMatchObject({ action: "create:orders", aud: SERVICE_ID });
    expect(proven.decision.event_id).toBe(proven.intent.event_id);
  });

  it("is refused from any gateway but the one that the agent named", () => {
    expect(() => verifyBroughtCall({ ...brought, gateway: SERVER_ID }, known)).toThrow(
      refusal("another gateway"),
    );
  });

  it.each([
    ["method", { ...request, method: "DELETE" }],
    ["target", { ...request, target: "/orders" }],
    ["body", { ...request, body: encodeUtf8("two orders") }],
  ])("is refused with another %s than the agent signed", (_member, other) => {
    expect(() => verifyBroughtCall({ ...brought, request: other }, known)).toThrow(
      refusal("another request"),
    );
  });

  it("is refused half a minute after its decision, and as long before it", () => {
    for (const nowMs of [decidedMs + 29_999, decidedMs - 29_999])
      verifyBroughtCall(brought, { ...known, nowMs });
    for (const nowMs of [decidedMs + 30_000, decidedMs - 30_000, Number.NaN])
      expect(() => verifyBroughtCall(brought, { ...known, nowMs })).toThrow(refusal("not of now"));
  });

  it("is refused when the decision was a deny, bound elsewhere, or is about another intent", () => {
    const shown = (other: typeof receipt) => ({ ...brought, headers: headersOf(other) });
    const denied = shown(issueReceipt(intent, { allow: false, reasons: ["scope"] }));
    expect(() => verifyBroughtCall(denied, known)).toThrow(refusal("denied"));
    const own = shown(issueReceipt(intent, { enforcement: "self" }));
    expect(() => verifyBroughtCall(own, known)).toThrow(refusal("enforcement"));
    const other = sign({
      action: "read:t",
      resource: "db://t",
      request: null,
      params: null,
      audience: SERVICE_ID,
    });
    expect(() => verifyBroughtCall(shown(issueReceipt(other)), known)).toThrow(refusal("intent"));
  });

  it.each(Object.keys(headersOf()))("is refused without %s, and with two of them", (name) => {
    const { [name]: text = "", ...without } = headersOf();
    expect(() => verifyBroughtCall({ ...brought, headers: without }, known)).toThrow(refusal(name));
    const twice = { ...without, [name]: [text, text] };
    expect(() => verifyBroughtCall({ ...brought, headers: twice }, known)).toThrow(refusal(name));
  });

  it("is refused when its intent does not parse", () => {
    const headers = { ...headersOf(), "trustwarden-intent": "e30" };
    expect(() => verifyBroughtCall({ ...brought, headers }, known)).toThrow(refusal("intent"));
  });
});
