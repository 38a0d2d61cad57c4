import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  type Approval,
  commitToParameters,
  formatParameters,
  issueApproval,
  type Parameters,
  requireShown,
  verifyApproval,
} from "./approval.ts";
import { encodeBase64url } from "./bytes.ts";
import { encodeSpki, sha256 } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import type { Signer } from "./signer.ts";

const NOW = 1_800_000_000;
const SALT = new Uint8Array(32).fill(7);
const PARAMETERS: Parameters = {
  kind: "request",
  method: "DELETE",
  target: "/rows/7",
  body_sha256: encodeBase64url(sha256(new Uint8Array())),
};

function keyPair(): { readonly signer: Signer; readonly publicKey: KeyObject; readonly keyid: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer: Signer = {
    algorithm: "ES256",
    publicKey,
    sign: (data) => new Uint8Array(sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
  return { signer, publicKey, keyid: encodeBase64url(sha256(encodeSpki(publicKey))) };
}

const owner = keyPair();
const approval: Approval = {
  v: 1,
  aud: "spiffe://acme.test",
  answer: "approve",
  id: "01890a5d-ac96-774b-bcce-b302099a8057",
  intent_sha256: "A".repeat(43),
  owner: "own_01J0000000000000000000000A",
  agent: "spiffe://acme.test/a/inst-01J0000000000000000000000B",
  action: "delete:rows",
  resource: "db://rows/7",
  audience: "spiffe://acme.test/trustwarden/verifier/rows/inst-01J0000000000000000000000C",
  parameters: commitToParameters(PARAMETERS, SALT),
  policy_sha256: "B".repeat(43),
  iat: NOW,
  exp: NOW + 900,
};
const check = { publicKey: owner.publicKey, audience: approval.aud, now: NOW };

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

describe("an approval", () => {
  const envelope = issueApproval(approval, owner.signer, owner.keyid);

  it("verifies against exactly its question", () => {
    expect(verifyApproval(envelope, approval, check)).toEqual(approval);
  });

  it("is no answer to any other question, whichever member differs", () => {
    for (const name of [
      "id",
      "intent_sha256",
      "owner",
      "agent",
      "action",
      "resource",
      "audience",
      "parameters",
      "policy_sha256",
    ] as const) {
      expect(
        codeOf(() => verifyApproval(envelope, { ...approval, [name]: "other" }, check)),
        name,
      ).toBe("approval_invalid");
    }
  });

  it("is its owner's alone, for this trust domain, and ends", () => {
    expect(
      codeOf(() => verifyApproval(envelope, approval, { ...check, publicKey: keyPair().publicKey })),
    ).toBe("signature_invalid");
    expect(codeOf(() => verifyApproval(envelope, approval, { ...check, audience: "spiffe://b.test" }))).toBe(
      "approval_invalid",
    );
    expect(codeOf(() => verifyApproval(envelope, approval, { ...check, now: NOW + 899 }))).toBe(
      "nothing was thrown",
    );
    expect(codeOf(() => verifyApproval(envelope, approval, { ...check, now: NOW + 900 }))).toBe(
      "approval_expired",
    );
    expect(codeOf(() => verifyApproval(envelope, approval, { ...check, now: NOW - 31 }))).toBe(
      "approval_invalid",
    );
  });

  it("lasts 900 seconds at most, and has no member too many", () => {
    const issue = (change: object) => () =>
      issueApproval({ ...approval, ...change }, owner.signer, owner.keyid);
    expect(codeOf(issue({ exp: NOW + 900 }))).toBe("nothing was thrown");
    expect(codeOf(issue({ exp: NOW + 901 }))).toBe("approval_invalid");
    expect(codeOf(issue({ exp: NOW }))).toBe("approval_invalid");
    expect(codeOf(issue({ scope: "*:*" }))).toBe("approval_invalid");
    expect(codeOf(issue({ answer: "maybe" }))).toBe("approval_invalid");
    expect(codeOf(issue({ id: "1" }))).toBe("approval_invalid");
    expect(codeOf(issue({ owner: "alice" }))).toBe("approval_invalid");
  });
});

describe("what the human is shown", () => {
  const shown = {
    parameters: formatParameters(PARAMETERS),
    salt: encodeBase64url(SALT),
    commitment: approval.parameters,
    body: null,
  };

  it("is what the answer commits to, the body with it", () => {
    expect(codeOf(() => requireShown(shown))).toBe("nothing was thrown");
    expect(codeOf(() => requireShown({ ...shown, body: "" }))).toBe("nothing was thrown");
    expect(codeOf(() => requireShown({ ...shown, body: "another" }))).toBe("approval_invalid");
    const other = formatParameters({ ...PARAMETERS, target: "/rows/8" });
    expect(codeOf(() => requireShown({ ...shown, parameters: other }))).toBe("approval_invalid");
  });
});
