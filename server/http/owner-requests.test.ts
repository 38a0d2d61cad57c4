/** An owner's signature covers one request, once, now. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { afterAll, describe, expect, it } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { OwnerRequestFloors } from "../owner-request-floors.ts";
import { OwnerRequests } from "./owner-requests.ts";

const NOW = 1_780_000_000;
const AUDIENCE = "spiffe://acme.test/trustwarden/server/1";
const BODY = encodeUtf8('{"x":1}');
const signer = createTestSigner();
const spki = encodeSpki(signer.publicKey);
const request = { method: "POST", target: "/v1/revocations", body: BODY };

const directory = mkdtempSync(join(tmpdir(), "owner-requests-"));
afterAll(() => rmSync(directory, { recursive: true }));

function create(isRevoked = false, file: string = randomUUID()): OwnerRequests {
  const owner = { ownerId: "own_1", name: "alice", spki, isRevoked };
  return new OwnerRequests({
    reads: { findOwner: (id) => (id === "own_1" ? owner : undefined) },
    startedAt: NOW - 10,
    floors: new OwnerRequestFloors(join(directory, file)),
  });
}

function header(
  overrides: Record<string, string | number> = {},
  keyid = encodeBase64url(sha256(spki)),
): string {
  const payload = {
    v: 1,
    jti: "jti-000001",
    aud: AUDIENCE,
    owner: "own_1",
    method: request.method,
    target: request.target,
    body_sha256: encodeBase64url(sha256(BODY)),
    iat: NOW,
    exp: NOW + 60,
    ...overrides,
  };
  return encodeBase64url(encodeUtf8(issueEnvelope("owner-request", payload, signer, keyid)));
}

const check = { request, audience: AUDIENCE, now: NOW };

describe("an owner's request", () => {
  it("proves the owner", async () => {
    expect(await create().verify(header(), check)).toEqual({ kind: "owner", ownerId: "own_1" });
  });

  it("counts once", async () => {
    const requests = create();
    await requests.verify(header(), check);
    await expectRejection(requests.verify(header(), { ...check, now: NOW + 89 }), "owner_request_replayed");
    await requests.verify(header({ jti: "jti-000002" }), check);
  });

  it("counts once over a restart too, also when its signer's clock runs ahead", async () => {
    const file = randomUUID();
    await create(false, file).verify(header(), check);
    expect(existsSync(join(directory, file))).toBe(false);
    await create(false, file).verify(header({ jti: "jti-000003", iat: NOW + 20, exp: NOW + 80 }), check);
    const later = create(false, file);
    const at = { ...check, now: NOW + 10 };
    const signed = (iat: number) => header({ jti: `jti-at-${iat}`, iat, exp: iat + 60 });
    for (const iat of [NOW + 10, NOW + 20])
      await expectRejection(later.verify(signed(iat), at), "owner_request_invalid");
    expect(await later.verify(signed(NOW + 21), at)).toEqual({ kind: "owner", ownerId: "own_1" });
  });

  it("is for exactly this request and this server", async () => {
    const changes: Record<string, string | number>[] = [
      { method: "GET" },
      { target: "/v1/revocations?x=1" },
      { body_sha256: encodeBase64url(sha256(encodeUtf8("{}"))) },
      { aud: "spiffe://other.test/trustwarden/server/1" },
      { v: 2 },
      { jti: "short" },
      { extra: "member" },
    ];
    for (const change of changes) {
      await expectRejection(create().verify(header(change), check), "owner_request_invalid");
    }
  });

  it("is signed now: not before, not long ago, not for longer than a minute", async () => {
    await create().verify(header(), { ...check, now: NOW + 89 });
    await create().verify(header(), { ...check, now: NOW - 30 });
    await expectRejection(create().verify(header(), { ...check, now: NOW + 90 }), "owner_request_invalid");
    await expectRejection(create().verify(header(), { ...check, now: NOW - 31 }), "owner_request_invalid");
    await expectRejection(create().verify(header({ exp: NOW + 61 }), check), "owner_request_invalid");
    await expectRejection(create().verify(header({ exp: NOW }), check), "owner_request_invalid");
  });

  it("signed before this process started is refused, since it may have been used then", async () => {
    await create().verify(header({ iat: NOW - 10, exp: NOW + 50 }), check);
    await expectRejection(
      create().verify(header({ iat: NOW - 11, exp: NOW + 49 }), check),
      "owner_request_invalid",
    );
  });

  it("is refused from an unknown owner, another key, or a revoked owner", async () => {
    await expectRejection(create().verify(header({ owner: "own_2" }), check), "owner_unknown");
    await expectRejection(create().verify(header({}, "other-keyid"), check), "owner_request_invalid");
    await expectRejection(create(true).verify(header(), check), "identity_revoked");
    const forger = createTestSigner();
    const payload = { v: 1, owner: "own_1" };
    const forged = issueEnvelope("owner-request", payload, forger, encodeBase64url(sha256(spki)));
    await expectRejection(create().verify(encodeBase64url(encodeUtf8(forged)), check), "signature_invalid");
  });

  it("of another document type is refused", async () => {
    const other = issueEnvelope("ticket", { v: 1, owner: "own_1" }, signer, encodeBase64url(sha256(spki)));
    await expectRejection(create().verify(encodeBase64url(encodeUtf8(other)), check), "signature_invalid");
  });
});
