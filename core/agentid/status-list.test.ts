import { deflateSync } from "node:zlib";
import { getListFromStatusListJWT, getStatusListFromJWT, StatusList } from "@sd-jwt/jwt-status-list";
import fc from "fast-check";
import { importJWK, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { formatP256Jwk } from "../crypto.ts";
import { createTestDomain, NOW } from "./certificate.test.support.ts";
import { issueJwtSvid, verifyJwtSvid } from "./jwt-svid.ts";
import { formatSpiffeId } from "./spiffe-id.ts";
import {
  encodeStatusBits,
  formatStatusClaim,
  issueStatusListToken,
  STATUS_LIST_SIZE,
} from "./status-list.ts";

const domain = createTestDomain();
const URI = "https://warden.acme.test/v1/status-list/0";

const tokenOf = (invalid: readonly number[], signer = domain.signers.jwt) =>
  issueStatusListToken({
    uri: URI,
    lst: deflateSync(encodeStatusBits(invalid)),
    kid: domain.jwtKid,
    signer,
    now: NOW,
    ttlSeconds: 300,
    maxAgeSeconds: 30,
  });

describe("a token status list", () => {
  it("TSL-1 has the lowest bit of the first byte first", () => {
    expect([...encodeStatusBits([0, 3, 9]).subarray(0, 2)]).toEqual([0b1001, 0b10]);
    expect(encodeStatusBits([STATUS_LIST_SIZE - 1]).at(-1)).toBe(0x80);
  });

  it("TSL-1 has no place before the first and none behind the last", () => {
    for (const index of [-1, STATUS_LIST_SIZE, 0.5]) expect(() => encodeStatusBits([index])).toThrow("place");
  });

  it("TSL-2 is a JWT of its own type whose claims jose proves with the published key", async () => {
    const key = await importJWK({ ...formatP256Jwk(domain.signers.jwt.publicKey), alg: "ES256" });
    const { payload, protectedHeader } = await jwtVerify(tokenOf([]), key, {
      typ: "statuslist+jwt",
      subject: URI,
      currentDate: new Date(NOW * 1000),
    });
    expect(protectedHeader).toEqual({ alg: "ES256", kid: domain.jwtKid, typ: "statuslist+jwt" });
    expect(payload).toMatchObject({ iat: NOW, exp: NOW + 300, ttl: 30, status_list: { bits: 1 } });
    const stranger = createTestSigner();
    const other = await importJWK({ ...formatP256Jwk(stranger.publicKey), alg: "ES256" });
    await expect(jwtVerify(tokenOf([]), other)).rejects.toThrow();
  });

  it("TSL-3 is read by another implementation exactly as it was meant", () => {
    const place = fc.nat(STATUS_LIST_SIZE - 1);
    fc.assert(
      fc.property(fc.uniqueArray(place, { maxLength: 50 }), place, (invalid, other) => {
        const list = getListFromStatusListJWT(tokenOf(invalid));
        for (const index of [...invalid, other]) {
          expect(list.getStatus(index)).toBe(invalid.includes(index) ? 1 : 0);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("TSL-3 is the one that another implementation would have written", () => {
    const statuses = Array.from({ length: STATUS_LIST_SIZE }, (_, index) => (index % 7 === 0 ? 1 : 0));
    const invalid = statuses.flatMap((status, index) => (status === 1 ? [index] : []));
    expect(encodeStatusBits(invalid)).toEqual(new StatusList(statuses, 1).encodeStatusList());
  });

  it("TSL-4 is small: a list in which a thousand tokens are void has less than four kilobytes", () => {
    expect(tokenOf([]).length).toBeLessThan(500);
    expect(tokenOf(Array.from({ length: 1000 }, (_, index) => index * 61)).length).toBeLessThan(4096);
  });
});

describe("a token with a status", () => {
  const svid = issueJwtSvid({
    id: formatSpiffeId(domain.trustDomain, ["team", "pay", "inst-1"]),
    audience: "https://api.test",
    issuer: "https://acme.test",
    kid: domain.jwtKid,
    jti: "1",
    now: NOW,
    ttlSeconds: 300,
    signer: domain.signers.jwt,
    claims: { status: formatStatusClaim({ uri: URI, index: 4711 }) },
  });

  it("TSL-5 names list and place, and stays a JWT-SVID", () => {
    expect(getStatusListFromJWT(svid)).toEqual({ idx: 4711, uri: URI });
    const { claims } = verifyJwtSvid(svid, {
      bundles: domain.bundles,
      audience: "https://api.test",
      now: NOW,
    });
    expect(claims.status).toEqual({ status_list: { idx: 4711, uri: URI } });
  });

  it("TSL-6 is not the list: our verifier takes no list for an SVID", () => {
    const options = { bundles: domain.bundles, audience: "https://api.test", now: NOW };
    expect(() => verifyJwtSvid(tokenOf([]), options)).toThrow(
      expect.objectContaining({ code: "svid_malformed" }),
    );
  });
});
