/** Proof that the asker holds the key. */
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { expect, test } from "vitest";
import { encodeSpki, formatThumbprint } from "../crypto.ts";
import { issueEnvelope } from "../dsse.ts";
import type { JsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import { issuePossession, verifyPossession } from "./possession.ts";

const nonce = "N".repeat(43);
const enrolmentSha256 = `${"E".repeat(42)}A`;
const signer = makeSigner();
const spki = encodeSpki(signer.publicKey);
const thumbprint = formatThumbprint(signer.publicKey);
const envelope = issuePossession({ nonce, enrolmentSha256 }, signer);

function makeSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}

const refusedAs = (code: string) => expect.objectContaining({ code });
const signRaw = (members: JsonObject, keyid = thumbprint) =>
  issueEnvelope("possession", members, signer, keyid);
const members = { v: 1, nonce, thumbprint, enrolment_sha256: enrolmentSha256 };

test("the holder of the key proves it, for one nonce and one document", () => {
  const possession = verifyPossession({ envelope, spki, enrolmentSha256, nonce });
  expect(possession).toMatchObject({ nonce, thumbprint });
  expect(possession.publicKey.equals(signer.publicKey)).toBe(true);
  expect(verifyPossession({ envelope, spki, enrolmentSha256 }).nonce).toBe(nonce);
});

test("B7 another's public key without its private key is refused", () => {
  const victim = encodeSpki(makeSigner().publicKey);
  expect(() => verifyPossession({ envelope, spki: victim, enrolmentSha256 })).toThrow(
    refusedAs("signature_invalid"),
  );
});

test("a proof for one document does not enrol another", () => {
  const other = `${"F".repeat(42)}A`;
  expect(() => verifyPossession({ envelope, spki, enrolmentSha256: other })).toThrow(
    refusedAs("possession_invalid"),
  );
});

test("a proof for one nonce does not answer another", () => {
  const other = "M".repeat(43);
  expect(() => verifyPossession({ envelope, spki, enrolmentSha256, nonce: other })).toThrow(
    refusedAs("nonce_invalid"),
  );
});

test("the signed thumbprint and the keyid must be the key's own", () => {
  const foreign = formatThumbprint(makeSigner().publicKey);
  const named = signRaw({ ...members, thumbprint: foreign });
  expect(() => verifyPossession({ envelope: named, spki, enrolmentSha256 })).toThrow(
    refusedAs("possession_invalid"),
  );
  const hinted = signRaw(members, foreign);
  expect(() => verifyPossession({ envelope: hinted, spki, enrolmentSha256 })).toThrow(
    refusedAs("possession_invalid"),
  );
});

test("unknown and missing members are refused", () => {
  const more = signRaw({ ...members, admin: true });
  expect(() => verifyPossession({ envelope: more, spki, enrolmentSha256 })).toThrow(
    refusedAs("possession_invalid"),
  );
  const less = signRaw({ v: 1, nonce, thumbprint });
  expect(() => verifyPossession({ envelope: less, spki, enrolmentSha256 })).toThrow(
    refusedAs("possession_invalid"),
  );
});

test("a signature over another type is no proof", () => {
  const intent = issueEnvelope("intent", members, signer, thumbprint);
  expect(() => verifyPossession({ envelope: intent, spki, enrolmentSha256 })).toThrow(
    refusedAs("signature_invalid"),
  );
});

test("B8 only P-256 keys are accepted", () => {
  for (const key of [
    generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey,
    generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey,
    generateKeyPairSync("ed25519").publicKey,
  ]) {
    const weak = key.export({ type: "spki", format: "der" });
    expect(() => verifyPossession({ envelope, spki: weak, enrolmentSha256 })).toThrow(
      refusedAs("public_key_refused"),
    );
  }
  const offCurve = Uint8Array.from(spki);
  offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
  expect(() => verifyPossession({ envelope, spki: offCurve, enrolmentSha256 })).toThrow(
    refusedAs("public_key_refused"),
  );
});
