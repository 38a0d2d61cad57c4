/** The suite finds an endpoint without fault to be so, and each fault where it is. */
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { formatP256Jwk } from "@trustwarden/core/crypto.ts";
import { afterEach, describe, expect, it } from "vitest";
import { breakChains } from "../../interop/broken-chains.ts";
import { createDomain, encodePkcs8, issueSvid } from "../../interop/domain.ts";
import type { DeliveredWit } from "../../node/ports.ts";
import { jwtBundles, openScriptedEndpoint, x509Response } from "../support/scripted-endpoint.ts";
import type { X509Svid } from "./api.ts";
import { parseTarget } from "./grpc.ts";
import {
  type Faults,
  openTestEndpoint,
  STRANGER_UID,
  type TestEndpoint,
} from "./memory-endpoint.test.support.ts";
import { createBench, judgeRow, type RowVerdict } from "./row.ts";
import { runSuite } from "./suite.ts";
import { x509Rows } from "./x509-rows.ts";

const isRoot = process.getuid?.() === 0;
const now = Math.floor(Date.now() / 1000);
const domain = createDomain("acme.test", now);
const other = createDomain("other.test", now);

let endpoint: TestEndpoint | undefined;

afterEach(async () => {
  await endpoint?.close();
  endpoint = undefined;
});

async function runAgainst(only: string, faults?: Faults): Promise<readonly RowVerdict[]> {
  endpoint = await openTestEndpoint(faults);
  return runSuite({ socket: endpoint.socket, selects: (id) => id.startsWith(only) });
}

/** Verdicts of the X.509 rows on one SVID; the bundle is the domain's root. */
async function judgeSvid(change: Partial<X509Svid>): Promise<readonly string[]> {
  const { id, chain, signer } = issueSvid(domain, ["a"], now);
  const root = domain.root.der;
  const svid = {
    ...{
      spiffeId: id,
      x509Svid: Buffer.concat(chain),
      x509SvidKey: encodePkcs8(signer),
      bundle: root,
      hint: "",
    },
    ...change,
  };
  const bench = createBench({
    ...{
      target: parseTarget("unix:///nowhere"),
      patienceMs: 0,
      watched: null,
      strangerUid: null,
      withdraw: null,
    },
    snapshot: {
      x509: { svids: [svid], crls: [], federatedBundles: new Map() },
      x509Bundles: new Map([["spiffe://acme.test", root]]),
      jwtBundles: new Map(),
      ownDomain: "spiffe://acme.test",
    },
  });
  const verdicts = await Promise.all(x509Rows.map((row) => judgeRow(row, bench)));
  return verdicts.filter(({ verdict }) => verdict === "fail").map(({ id: row }) => row);
}

describe("the conformance suite", () => {
  it.runIf(isRoot)("passes our endpoint in every row that it can see", { timeout: 90_000 }, async () => {
    const running = await openTestEndpoint();
    endpoint = running;
    const rotation = setTimeout(() => running.rotate(), 500);
    const verdicts = await runSuite({
      ...{ socket: running.socket, watchSeconds: 2, strangerUid: STRANGER_UID },
      withdraw: async () => running.withdraw(),
    });
    clearTimeout(rotation);
    expect(verdicts.filter(({ verdict }) => verdict === "fail")).toEqual([]);
    const unseen = verdicts.filter(({ verdict }) => verdict === "not seen").map(({ id }) => id);
    expect(unseen).toEqual(["A-15", "W-1", "W-2", "W-3", "W-6", "W-8", "A-14a", "A-14b", "A-14c", "A-14d"]);
  });

  it("passes our endpoint in every row about WIT-SVIDs, when they are issued", async () => {
    endpoint = await openTestEndpoint({ wit: (wit) => wit });
    const selects = (id: string) => id.startsWith("W-") || id.startsWith("A-14");
    const verdicts = await runSuite({ socket: endpoint.socket, selects });
    expect(verdicts.filter(({ verdict }) => verdict !== "pass")).toEqual([]);
    expect(verdicts).toHaveLength(10);
  });

  const key = (change: object) => (wit: DeliveredWit) => ({
    ...wit,
    keyJwk: JSON.stringify({ ...JSON.parse(wit.keyJwk), ...change }),
  });
  it.each([
    [
      "a token that is altered",
      "W-1",
      (wit: DeliveredWit) => ({ ...wit, svid: `${wit.svid.slice(0, -8)}AAAAAAAA` }),
    ],
    ["another typ", "W-1", (wit: DeliveredWit) => ({ ...wit, svid: withHeader(wit.svid, { typ: "JWT" }) })],
    ["an audience", "W-3", (wit: DeliveredWit) => ({ ...wit, svid: withPayload(wit.svid, { aud: "a" }) })],
    [
      "an issuer that is a web site",
      "W-6",
      (wit: DeliveredWit) => ({ ...wit, svid: withPayload(wit.svid, { iss: "https://a.test" }) }),
    ],
    [
      "a token without an end",
      "W-2",
      (wit: DeliveredWit) => ({ ...wit, svid: withPayload(wit.svid, { exp: undefined }) }),
    ],
    ["a key that is public", "A-14a", key({ d: undefined })],
  ])("finds %s in WIT-SVIDs", async (_name, row, wit) => {
    expect((await runAgainst(row, { wit })).map(({ verdict }) => verdict)).toEqual(["fail"]);
  });

  it("accepts a sound SVID, and finds each broken chain in some row", async () => {
    expect(await judgeSvid({})).toEqual([]);
    for (const { name, chain, at } of breakChains(domain, other, now)) {
      // These are broken in time, in a way that only path validation finds, or in the intermediate's signature alone.
      if (at !== now || /unknown critical extension/.test(name)) continue;
      expect(await judgeSvid({ x509Svid: Buffer.concat(chain) }), name).not.toEqual([]);
    }
  });

  it.each([
    ["another's key", { x509SvidKey: encodePkcs8(issueSvid(domain, ["b"], now).signer) }, "A-6c"],
    ["a key in PEM", { x509SvidKey: Buffer.from("-----BEGIN PRIVATE KEY-----") }, "A-6c"],
    ["an empty bundle", { bundle: new Uint8Array() }, "A-6d"],
    ["another trust domain's bundle", { bundle: other.root.der }, "A-6d"],
    [
      "a bundle with a leaf in it",
      { bundle: issueSvid(domain, ["a"], now).chain[0] ?? new Uint8Array() },
      "A-6d",
    ],
    ["a chain that is cut off", { x509Svid: domain.intermediate.der.subarray(0, 100) }, "A-6b"],
    [
      "the root first",
      { x509Svid: Buffer.concat([domain.root.der, ...issueSvid(domain, ["a"], now).chain]) },
      "A-6b",
    ],
    ["a hint of 1,025 bytes", { hint: "x".repeat(1025) }, "A-8b"],
    ["an id in upper case", { spiffeId: "spiffe://ACME.test/a" }, "ID"],
    ["another id than the leaf's", { spiffeId: "spiffe://acme.test/b" }, "X-1"],
  ])("finds %s", async (_name, change, row) => {
    expect(await judgeSvid(change)).toContain(row);
  });

  it.each([
    [
      "a header that is not described",
      "J-2",
      (token: string) => withHeader(token, { jku: "https://a.test" }),
    ],
    ["a header without a kid", "J-4", (token: string) => withHeader(token, { kid: undefined })],
    ["a signature of somebody else", "J-1", (token: string) => `${token.slice(0, -8)}AAAAAAAA`],
  ])("finds %s in tokens", async (_name, row, token) => {
    expect((await runAgainst(row, { token })).map(({ verdict }) => verdict)).toEqual(["fail"]);
  });

  it("does not run where nothing is served", async () => {
    const state = ({
      bundles,
    }: {
      readonly bundles: Parameters<NonNullable<Faults["state"]>>[0]["bundles"];
    }) => ({
      svids: [],
      bundles,
    });
    await expect(runAgainst("A-1", { state })).rejects.toThrow("FetchX509SVID serves nothing here");
  });
});

type Change = Readonly<Record<string, string | undefined>>;

function withHeader(token: string, change: Change): string {
  const [header = "", ...rest] = token.split(".");
  return [withMembers(header, change), ...rest].join(".");
}

function withPayload(token: string, change: Change): string {
  const [header = "", payload = "", ...rest] = token.split(".");
  return [header, withMembers(payload, change), ...rest].join(".");
}

function withMembers(part: string, change: Change): string {
  const parsed = { ...JSON.parse(Buffer.from(part, "base64url").toString()), ...change };
  return Buffer.from(JSON.stringify(parsed)).toString("base64url");
}

describe("an endpoint that says yes to every token", () => {
  it("fails each row that shows it one that is none, and the row of hints by giving one twice", async () => {
    const ours = issueSvid(domain, ["a"], now);
    const root = Buffer.from(domain.root.der);
    const svid = issueJwtSvid({
      ...{ id: ours.id, audience: "spiffe://conformance.test/audience", issuer: "https://acme.test" },
      ...{ kid: domain.jwtKid, jti: "1", now, ttlSeconds: 300, signer: domain.signers.jwt },
    });
    const key = { ...formatP256Jwk(domain.signers.jwt.publicKey), kid: domain.jwtKid };
    const token = { spiffe_id: ours.id, svid, hint: "one" };
    const yes = await openScriptedEndpoint();
    endpoint = { ...yes, rotate: () => undefined, withdraw: () => undefined, close: async () => yes.close() };
    yes.push("FetchX509SVID", x509Response({ svids: [ours], bundle: [domain.root.der] }));
    yes.push("FetchX509Bundles", { bundles: { "spiffe://acme.test": root } });
    yes.push("FetchJWTBundles", jwtBundles({ "acme.test": [key] }));
    yes.push("FetchJWTSVID", { svids: [token, token] });
    yes.push("ValidateJWTSVID", { spiffe_id: ours.id });
    const isAsked = (id: string) => /^A-(13[c-j]|8c|5[de])$/.test(id);
    const verdicts = await runSuite({ socket: yes.socket, selects: isAsked });
    expect(verdicts.map(({ id, verdict }) => `${id} ${verdict}`).toSorted()).toEqual(
      ["13c", "13d", "13e", "13f", "13g", "13h", "13i", "13j", "5d", "5e", "8c"].map(
        (row) => `A-${row} fail`,
      ),
    );
  });
});
