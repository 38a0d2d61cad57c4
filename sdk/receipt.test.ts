/** When a receipt is proof, and when it is not. */
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { describe, expect, it } from "vitest";
import { parseReceiptHeader, type ReceiptExpectations, verifyReceipt } from "./receipt.ts";
import {
  AGENT_ID,
  acknowledge,
  createTestAgent,
  issueIdentity,
  issueReceipt,
  logVkey,
  SERVER_ID,
  SERVICE_ID,
  serverIdentity,
} from "./support.test.helpers.ts";

const sign = createTestAgent();
const draft = { action: "read:t", resource: "db://t", request: null, params: null, audience: SERVICE_ID };
const intent = sign(draft);
const expected: ReceiptExpectations = {
  server: serverIdentity.svid.leaf,
  logVkey,
  intentSha256: intent.sha256,
  enforcement: "service",
};
const refused = expect.objectContaining({ code: "receipt_invalid" });

describe("a receipt", () => {
  it("proves the server's decision about this intent and the log's promise", () => {
    const receipt = issueReceipt(intent);
    const { decision, acknowledgement } = verifyReceipt(receipt, expected);
    expect(decision.allow).toBe(true);
    expect(acknowledgement.index).toBe(receipt.decision_index);
  });

  it("proves a deny as well, which the caller must read", () => {
    const receipt = issueReceipt(intent, { allow: false, reasons: ["scope"] });
    expect(verifyReceipt(receipt, expected).decision.allow).toBe(false);
  });

  it("is no permission when it was made for the agent's own process", () => {
    expect(() => verifyReceipt(issueReceipt(intent, { enforcement: "self" }), expected)).toThrow(refused);
  });

  it("is refused for another intent, also when only one of its two members says so", () => {
    const other = sign(draft);
    expect(() => verifyReceipt(issueReceipt(other), expected)).toThrow(refused);
    const shown = { ...issueReceipt(other), intent_sha256: intent.sha256 };
    expect(() => verifyReceipt(shown, expected)).toThrow(refused);
  });

  it("is refused when anybody else signed the decision", () => {
    const forged = issueReceipt(intent, {}, issueIdentity(AGENT_ID));
    expect(() => verifyReceipt(forged, expected)).toThrow(refused);
    const otherServer = issueIdentity(SERVER_ID);
    expect(() => verifyReceipt(issueReceipt(intent, {}, otherServer), expected)).toThrow(refused);
  });

  it("is refused when the promise is for another entry, another place or by another log", () => {
    const receipt = issueReceipt(intent);
    const promises = [
      acknowledge("another entry", receipt.decision_index),
      acknowledge(receipt.decision, receipt.decision_index + 1),
      `${receipt.acknowledgement}x`,
      "",
    ];
    for (const acknowledgement of promises) {
      expect(() => verifyReceipt({ ...receipt, acknowledgement }, expected)).toThrow(refused);
    }
  });

  it("is refused under another event id than the decision's", () => {
    const receipt = issueReceipt(intent);
    const event_id = sign(draft).intent.event_id;
    expect(() => verifyReceipt({ ...receipt, event_id }, expected)).toThrow(refused);
  });

  it("travels as a header and back", () => {
    const receipt = issueReceipt(intent);
    expect(parseReceiptHeader(formatReceiptHeader(receipt))).toEqual(receipt);
  });

  it("is refused as a header with anything missing, added or misspelt", () => {
    const receipt = issueReceipt(intent);
    const { decision, ...partial } = receipt;
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    for (const header of [
      "",
      "%",
      encode(partial),
      encode({ ...receipt, extra: 1 }),
      encode([]),
      `${encode(receipt)}=`,
    ]) {
      expect(() => parseReceiptHeader(header)).toThrow(refused);
    }
    expect(decision).not.toBe("");
  });
});
