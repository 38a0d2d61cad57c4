/** What a launched process is served: instance and class, renewed together, in tokens too, and withdrawn together. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { DeliveredIdentity, systemRuntime } from "trustwarden/peer.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LaunchedSource } from "../node/launcher/launched-source.ts";
import type { WorkloadPeer, WorkloadState } from "../node/ports.ts";
import { createOwner, parseAnswer, ticketOf } from "./support/actors.ts";
import { send } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const CLASS_ID = parseSpiffeId("spiffe://acme.test/team/web/crawler");
const peer: WorkloadPeer = {
  ...{ connectionId: "1", pid: process.pid, uid: 1000, gid: 1000, groups: [] },
  isAlive: () => true,
  hold: () => () => {},
};
const stranger: WorkloadPeer = { ...peer, uid: 1001 };
const noIdentity = expect.objectContaining({ code: "no_identity" });
let server: TestServer;
let identity: DeliveredIdentity;
let source: LaunchedSource;

beforeAll(async () => {
  server = await startTestServer({ workloadApi: { witSvid: true } });
  const owner = await createOwner(server);
  const found = parseAnswer(discovery, await send(server.url, { target: "/.well-known/trustwarden" }));
  identity = await DeliveredIdentity.fromTicket({
    ticket: formatTicketValue({
      authoritiesSha256: found.authorities_sha256,
      server: server.url,
      ticket: ticketOf(owner, { path: "team/web", name: "crawler", scope: ["fetch:web"] }),
    }),
    events: { onChange: () => source.publish(), onRevoked: () => {} },
    runtime: { ...systemRuntime, notify: () => {} },
  });
  const belongs = ({ uid }: WorkloadPeer) => uid === peer.uid;
  source = new LaunchedSource({ identity, binding: () => ({ strength: "same_uid", by: "test", belongs }) });
});
afterAll(async () => {
  await identity.close();
  await server.close();
  server.home.remove();
});

/** Name, hint, and whether the key is the certificate's. */
function shown({ svids }: WorkloadState) {
  return svids.map(({ spiffeId, hint, chain, keyPkcs8 }) => {
    const leaf = new X509Certificate(chain[0] ?? new Uint8Array());
    const key = createPrivateKey({ key: Buffer.from(keyPkcs8), format: "der", type: "pkcs8" });
    expect(leaf.subjectAltName).toBe(`URI:${spiffeId}`);
    expect(leaf.checkPrivateKey(key)).toBe(true);
    return { spiffeId, hint, validTo: leaf.validTo, serial: leaf.serialNumber };
  });
}

describe("a launched process", () => {
  it("is served instance and class on one stream, renewed under new keys and withdrawn together", async () => {
    const own = identity.answer.spiffe_id;
    const states: WorkloadState[] = [];
    await source.subscribe(
      peer,
      (state) => states.push(state),
      () => {},
    );
    await identity.renew();
    const [first = [], second = []] = states.map(shown);
    for (const state of [first, second]) {
      expect(state).toMatchObject([
        { spiffeId: own, hint: "instance" },
        { spiffeId: CLASS_ID, hint: "class", validTo: state[0]?.validTo },
      ]);
    }
    const serials = [...first, ...second].map(({ serial }) => serial);
    expect(new Set(serials).size).toBe(4);
    const keys = states.flatMap(({ svids }) =>
      svids.map(({ keyPkcs8 }) => Buffer.from(keyPkcs8).toString("hex")),
    );
    expect(new Set(keys).size).toBe(4);
  });

  it("gets tokens in both names, or in the one that it asks for", async () => {
    const own = identity.answer.spiffe_id;
    const ask = { audience: ["https://api.example"] };
    const both = await source.issueJwtSvids(peer, { ...ask, spiffeId: null });
    const hints = [
      { spiffeId: own, hint: "instance" },
      { spiffeId: CLASS_ID, hint: "class" },
    ];
    expect(both).toMatchObject(hints);
    expect(both.map(({ svid }) => subjectOf(svid))).toEqual([own, CLASS_ID]);
    expect(await source.issueJwtSvids(peer, { ...ask, spiffeId: CLASS_ID })).toMatchObject([
      { spiffeId: CLASS_ID },
    ]);
    const wits = await source.issueWitSvids(peer, { spiffeId: null });
    expect(wits).toMatchObject(hints);
    expect(wits.map(({ svid }) => subjectOf(svid))).toEqual([own, CLASS_ID]);
    expect(new Set(wits.map(({ keyJwk }) => keyJwk)).size).toBe(2);
    const spiffeId = parseSpiffeId("spiffe://acme.test/team/web/other");
    await expect(source.issueJwtSvids(peer, { ...ask, spiffeId })).rejects.toEqual(noIdentity);
    await expect(source.issueWitSvids(peer, { spiffeId })).rejects.toEqual(noIdentity);
  });

  it("is the only one, and gets nothing in either name after the end", async () => {
    const ask = { audience: ["https://api.example"], spiffeId: CLASS_ID };
    await expect(source.issueJwtSvids(stranger, ask)).rejects.toEqual(noIdentity);
    const ends: unknown[] = [];
    await source.subscribe(
      peer,
      () => {},
      (error) => ends.push(error),
    );
    source.end(new TrustWardenError("no_identity"));
    expect(ends).toEqual([noIdentity]);
    await expect(source.issueJwtSvids(peer, ask)).rejects.toEqual(noIdentity);
    await expect(source.issueWitSvids(peer, { spiffeId: CLASS_ID })).rejects.toEqual(noIdentity);
  });
});

function subjectOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).sub;
}
