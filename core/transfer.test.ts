/** The document that two owners sign about one agent: what is taken, and what only looks like it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../test/support/keys.ts";
import { encodeBase64url } from "./bytes.ts";
import { encodeSpki, sha256 } from "./crypto.ts";
import { issueEnvelope } from "./dsse.ts";
import type { JsonObject } from "./json.ts";
import {
  digestOfTransfer,
  formatOfferValue,
  issueTransfer,
  parseOfferValue,
  parseUnverifiedTransfer,
  requireSameTransfer,
  type Transfer,
  verifyTransfer,
} from "./transfer.ts";

const signer = createTestSigner();
const keyid = encodeBase64url(sha256(encodeSpki(signer.publicKey)));
const id = (prefix: string, last: string) => `${prefix}_01M83924VBBGDRAM40CWRZ60M${last}`;
const TRANSFER: Transfer = {
  v: 1,
  jti: "01M83924VBBGDRAM40CWRZ60MM",
  aud: "spiffe://acme.test",
  iat: 1000,
  exp: 1600,
  agent: id("agt", "A"),
  from: id("own", "A"),
  to: id("own", "B"),
};
const check = { publicKey: signer.publicKey, audience: "spiffe://acme.test", now: 1000 };
const verify = (members: JsonObject, by = keyid, now = 1000) =>
  verifyTransfer(issueEnvelope("transfer", { ...TRANSFER, ...members }, signer, by), { ...check, now });

describe("a transfer", () => {
  it("comes back as it was signed, until its end and not a second longer", () => {
    const envelope = issueTransfer(TRANSFER, signer, keyid);
    expect(verifyTransfer(envelope, { ...check, now: 1599 })).toEqual(TRANSFER);
    expect(parseOfferValue(formatOfferValue(envelope))).toBe(envelope);
    expect(() => verifyTransfer(envelope, { ...check, now: 1600 })).toThrow("transfer_expired");
    expect(() => verifyTransfer(envelope, { ...check, now: 970 })).not.toThrow();
    expect(() => verifyTransfer(envelope, { ...check, now: 969 })).toThrow("transfer_invalid");
  });

  it.each<JsonObject>([
    { exp: 4601 },
    { exp: 1000 },
    { to: TRANSFER.from },
    { aud: "spiffe://other.test" },
    { agent: "agt_x" },
    { from: "own_x" },
    { jti: "x" },
    { v: 2 },
    { more: 1 },
  ])("is refused with %j", (members) => {
    expect(() => verify(members)).toThrow("transfer_invalid");
  });

  it("is refused under another key's name and another type", () => {
    expect(() => verify({}, "A".repeat(43))).toThrow("transfer_invalid");
    const approval = issueEnvelope("approval", { ...TRANSFER }, signer, keyid);
    expect(() => verifyTransfer(approval, check)).toThrow("signature_invalid");
    const other = { ...check, publicKey: createTestSigner().publicKey };
    expect(() => verifyTransfer(issueTransfer(TRANSFER, signer, keyid), other)).toThrow("signature_invalid");
  });

  it("is the same for two signers when its bytes are, and for no others", () => {
    const second = createTestSigner();
    const offer = issueTransfer(TRANSFER, signer, keyid);
    const same = issueTransfer(TRANSFER, second, keyid);
    expect(digestOfTransfer(same)).toBe(digestOfTransfer(offer));
    expect(() => requireSameTransfer(offer, same)).not.toThrow();
    const other = issueTransfer({ ...TRANSFER, exp: 1601 }, second, keyid);
    expect(() => requireSameTransfer(offer, other)).toThrow("transfer_invalid");
  });

  it("is never read from anything else, whatever it is", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => parseUnverifiedTransfer(text)).toThrow();
        expect(() => parseOfferValue(text)).toThrow();
      }),
    );
  });
});
