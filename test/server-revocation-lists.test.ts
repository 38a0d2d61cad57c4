/** What verifiers without a lease read: certificate revocation lists, as the server really serves them. */

import { getListFromStatusListJWT, getStatusListFromJWT } from "@sd-jwt/jwt-status-list";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import {
  parseCertificateRevocationList,
  verifyCertificateRevocationList,
} from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { createLocalJWKSet, type JWK, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  createOwner,
  enrolAgent,
  enrolVerifier,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { jsonOf, send, sendAdmin } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const jwks = z.object({ keys: z.array(z.custom<JWK>((key) => typeof key === "object" && key !== null)) });

let server: TestServer;
let owner: TestOwner;

beforeEach(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
});
afterEach(async () => {
  await server.close();
  server.home.remove();
});

const certificatesOf = ({ answer }: TestInstance) =>
  answer.svid_chain.map((der) => parseCertificate(parseBase64url(der)));

async function revoke({ answer }: TestInstance): Promise<void> {
  const body = JSON.stringify({ target: { kind: "instance", id: answer.instance_id } });
  const { status } = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  expect(status).toBe(200);
}

async function readList(target = "/v1/crl"): Promise<ReturnType<typeof parseCertificateRevocationList>> {
  const answer = await send(server.url, { target });
  expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/pkix-crl"]);
  return parseCertificateRevocationList(answer.bytes);
}

const serialsOf = (list: { readonly revoked: readonly { readonly serialHex: string }[] }) =>
  list.revoked.map(({ serialHex }) => serialHex);

const dersOf = (pem: string) =>
  [...pem.matchAll(/-----BEGIN X509 CRL-----\n([^-]+)-----END X509 CRL-----\n/g)].map(([, base64 = ""]) =>
    Buffer.from(base64, "base64"),
  );

describe("GET /v1/crl", () => {
  it("has a revoked agent and a revoked verifier as soon as the revocation is answered, and nobody else", async () => {
    const agent = await enrolAgent(server, owner);
    const verifier = await enrolVerifier(server);
    await enrolAgent(server, owner, { name: "bystander" });
    expect(serialsOf(await readList())).toEqual([]);
    for (const [index, doomed] of [agent, verifier].entries()) {
      await revoke(doomed);
      const list = await readList();
      expect(serialsOf(list)).toContain(certificatesOf(doomed)[0]?.serialHex);
      expect(list.revoked).toHaveLength(index + 1);
    }
  });

  it("is signed by the intermediate that agents present, for an hour", async () => {
    const [, intermediate] = certificatesOf(await enrolAgent(server, owner));
    if (intermediate === undefined) throw new Error("an agent presents its issuer");
    const list = await readList();
    const now = Math.floor(Date.now() / 1000);
    expect(verifyCertificateRevocationList(list.der, intermediate, now).number).toBe(list.number);
    expect(list.nextUpdate - list.thisUpdate).toBe(3600);
  });

  it("is signed once for all readers, until something is revoked; its number rises, also over a restart", async () => {
    const agent = await enrolAgent(server, owner);
    const [first, again] = await Promise.all([readList(), readList()]);
    expect(Buffer.compare(again.der, first.der)).toBe(0);
    await revoke(agent);
    const next = await readList();
    expect(next.number).toBeGreaterThan(first.number);
    await server.close();
    server = await startTestServer({}, server.home);
    const later = await readList();
    expect(later.number).toBeGreaterThan(next.number);
    expect(serialsOf(later)).toEqual(serialsOf(next));
  });
});

describe("GET /v1/status-list/0", () => {
  const AUDIENCE = "https://api.test";

  async function jwtOf(agent: TestInstance): Promise<string> {
    const body = JSON.stringify({ audience: AUDIENCE });
    const aud = await serverIdOf(server);
    const request = { method: "POST", target: "/v1/jwt-svids", body, action: "issue:jwt-svid", aud };
    const answer = await send(server.url, signedRequest(agent, request), agent.tls);
    return jwtSvidAnswer.parse(jsonOf(answer)).svid;
  }

  /** As a relying party asks that knows the discovery document's keys and nothing else of us. */
  async function statusOf(svid: string): Promise<number> {
    const { idx, uri } = getStatusListFromJWT(svid);
    const answer = await send(server.url, { target: new URL(uri).pathname });
    expect(answer.headers["content-type"]).toBe("application/statuslist+jwt");
    const { keys } = jwks.parse(jsonOf(await send(server.url, { target: "/v1/jwks" })));
    await jwtVerify(answer.text, createLocalJWKSet({ keys }), { typ: "statuslist+jwt", subject: uri });
    return getListFromStatusListJWT(answer.text).getStatus(idx);
  }

  it("TSL-7 says that a token is void as soon as its agent is revoked, and the others are not", async () => {
    const agent = await enrolAgent(server, owner);
    const bystander = await enrolAgent(server, owner, { name: "bystander" });
    const [doomed, again, other] = [await jwtOf(agent), await jwtOf(agent), await jwtOf(bystander)];
    expect([await statusOf(doomed), await statusOf(again), await statusOf(other)]).toEqual([0, 0, 0]);
    await revoke(agent);
    expect([await statusOf(doomed), await statusOf(again), await statusOf(other)]).toEqual([1, 1, 0]);
  });

  it("is the only list while the first has room; what is no number is no list", async () => {
    const statusAt = async (page: string) =>
      (await send(server.url, { target: `/v1/status-list/${page}` })).status;
    expect(await Promise.all(["0", "1", "64", "99"].map(statusAt))).toEqual([200, 404, 404, 404]);
    expect(await Promise.all(["00", "x", "100", "-1"].map(statusAt))).toEqual([400, 400, 400, 400]);
  });
});

describe("the root's list", () => {
  it("names no intermediate, holds as long as the present one, and is kept over a start", async () => {
    const [, intermediate] = certificatesOf(await enrolAgent(server, owner));
    const first = await readList("/v1/crl/root");
    expect([first.revoked, first.nextUpdate]).toEqual([[], intermediate?.notAfter]);
    expect(Buffer.compare(first.issuer, intermediate?.issuer ?? Buffer.alloc(0))).toBe(0);
    await server.close();
    server = await startTestServer({}, server.home);
    expect(await readList("/v1/crl/root")).toEqual(first);
  });
});

describe("GET /v1/crl.pem and /v1/bundle.pem", () => {
  it("have a list for the issuer of every SVID in use, before and after a rotation", async () => {
    const before = await enrolAgent(server, owner, { name: "early" });
    await readList();
    const body = JSON.stringify({ step: "rotate", kind: "intermediate" });
    const target = "/v1/authority/steps";
    const rotated = await sendAdmin(server.adminSocket, { method: "POST", target, body });
    expect(rotated.status).toBe(200);
    const after = await enrolAgent(server, owner, { name: "late" });
    await revoke(before);
    const lists = dersOf((await send(server.url, { target: "/v1/crl.pem" })).text);
    const now = Math.floor(Date.now() / 1000);
    const revokedBy = [after, before].map((agent, index) => {
      const [, issuer] = certificatesOf(agent);
      if (issuer === undefined) throw new Error("an agent presents its issuer");
      return serialsOf(verifyCertificateRevocationList(lists[index] ?? Buffer.alloc(0), issuer, now));
    });
    expect(revokedBy).toEqual([[], [certificatesOf(before)[0]?.serialHex]]);
    expect(lists).toHaveLength(3);
  });

  it("are not sent again to who has them, and are after a revocation", async () => {
    const agent = await enrolAgent(server, owner, { name: "watched" });
    const first = await send(server.url, { target: "/v1/crl.pem" });
    const headers = { "if-none-match": String(first.headers.etag) };
    const again = await send(server.url, { target: "/v1/crl.pem", headers });
    expect([first.status, again.status, again.text]).toEqual([200, 304, ""]);
    await revoke(agent);
    const changed = await send(server.url, { target: "/v1/crl.pem", headers });
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(first.headers.etag);
  });

  it("are the files that other programs take: every list, and the roots", async () => {
    const lists = await sendAdmin(server.adminSocket, { target: "/v1/crl.pem" });
    const ders = dersOf(lists.text);
    const parsed = [await readList(), await readList("/v1/crl/root")];
    expect(ders.map((der) => der.toString("hex"))).toEqual(
      parsed.map(({ der }) => Buffer.from(der).toString("hex")),
    );
    expect(lists.headers["content-type"]).toBe("application/x-pem-file");
    const roots = await send(server.url, { target: "/v1/bundle.pem" });
    expect(roots.headers["content-type"]).toBe("application/pem-certificate-chain");
    const root = parseCertificate(Buffer.from(roots.text.replaceAll(/-----[A-Z ]+-----|\n/g, ""), "base64"));
    expect(Buffer.compare(root.subject, parsed[1]?.issuer ?? Buffer.alloc(0))).toBe(0);
  });
});
