/** WIT-SVIDs over a real socket, from a source in memory. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { verifyWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createMemorySource, NOW, startMemoryEndpoint } from "./endpoint.test.support.ts";

const INSTANCE = "spiffe://acme.test/team/pay/inst-1";
const CLASS = "spiffe://acme.test/team/pay";
const OWN = "spiffe://acme.test";

let endpoint: Awaited<ReturnType<typeof startMemoryEndpoint>>;

beforeEach(async () => {
  const source = createMemorySource();
  source.isWit = true;
  endpoint = await startMemoryEndpoint(source);
});
afterEach(() => endpoint.close());

interface WitMessage {
  readonly svids: readonly {
    readonly spiffe_id: string;
    readonly wit_svid: string;
    readonly wit_svid_key: string;
    readonly hint: string;
  }[];
}

function witsOf(message: object | undefined): WitMessage["svids"] {
  const { svids }: WitMessage = Object(message);
  return svids;
}

async function firstWits(request: object = {}): Promise<WitMessage["svids"]> {
  const stream = endpoint.client.stream("FetchWITSVID", request);
  await stream.have(1);
  stream.cancel();
  return witsOf(stream.messages[0]);
}

describe("FetchWITSVID", () => {
  it("A-14 gives each identity a token and the private key that it is bound to, instance first", async () => {
    const { domain } = endpoint.source;
    const wits = await firstWits();
    expect(wits.map(({ spiffe_id, hint }) => [spiffe_id, hint])).toEqual([
      [INSTANCE, "instance"],
      [CLASS, "class"],
    ]);
    for (const { spiffe_id, wit_svid, wit_svid_key } of wits) {
      const { id, confirmationKey } = verifyWitSvid(wit_svid, { bundles: domain.bundles, now: NOW });
      expect(id).toBe(spiffe_id);
      const jwk = JSON.parse(wit_svid_key);
      expect(jwk).toMatchObject({ kty: "EC", crv: "P-256", alg: "ES256" });
      const key = createPublicKey(createPrivateKey({ key: jwk, format: "jwk" }));
      expect(key.equals(confirmationKey)).toBe(true);
    }
  });

  it("A-14 gives one identity when it is asked for one, and refuses another's and what is no id", async () => {
    expect((await firstWits({ spiffe_id: CLASS })).map(({ spiffe_id }) => spiffe_id)).toEqual([CLASS]);
    const other = endpoint.client.stream("FetchWITSVID", { spiffe_id: "spiffe://acme.test/team/other" });
    expect(await other.ended).toEqual({ code: status.PERMISSION_DENIED, details: "no identity issued" });
    const none = endpoint.client.stream("FetchWITSVID", { spiffe_id: "acme.test/team" });
    expect(await none.ended).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(endpoint.source.subscriberCount()).toBe(0);
  });

  it("sends others when the authority changes or the identities do, and nothing when neither does", async () => {
    const { source, client } = endpoint;
    const stream = client.stream("FetchWITSVID");
    await stream.have(1);
    const { svids, bundles } = source.state;
    source.push({ svids: [...svids], bundles });
    source.push({ svids, bundles: bundles.map((bundle) => ({ ...bundle, sequence: bundle.sequence + 1 })) });
    await stream.have(2);
    source.push({ svids: svids.slice(0, 1), bundles: source.state.bundles });
    await stream.have(3);
    expect(stream.messages.map((message) => witsOf(message).length)).toEqual([2, 2, 1]);
    const tokens = stream.messages.map((message) => witsOf(message)[0]?.wit_svid);
    expect(new Set(tokens).size).toBe(3);
    stream.cancel();
  });

  it("renews by itself while the stream is open", async () => {
    endpoint.source.witTtlSeconds = 2;
    const stream = endpoint.client.stream("FetchWITSVID");
    await stream.have(2);
    stream.cancel();
    expect(witsOf(stream.messages[1])).toHaveLength(2);
  });

  it("ends with PermissionDenied when the identity is withdrawn", async () => {
    const stream = endpoint.client.stream("FetchWITSVID");
    await stream.have(1);
    endpoint.source.push({ svids: [], bundles: endpoint.source.state.bundles });
    expect(await stream.ended).toEqual({ code: status.PERMISSION_DENIED, details: "no identity issued" });
    expect(endpoint.source.subscriberCount()).toBe(0);
  });

  it("ends at once when nothing can be issued, and goes on while what it gave still counts", async () => {
    const { source, client } = endpoint;
    source.failure = new TrustWardenError("server_unreachable");
    expect(await client.stream("FetchWITSVID").ended).toMatchObject({ code: status.UNAVAILABLE });
    source.failure = undefined;
    const stream = client.stream("FetchWITSVID");
    await stream.have(1);
    source.failure = new TrustWardenError("server_unreachable");
    source.push({
      svids: source.state.svids,
      bundles: source.state.bundles.map((bundle) => ({ ...bundle, sequence: 9 })),
    });
    source.failure = new TrustWardenError("no_identity");
    source.push({
      svids: source.state.svids,
      bundles: source.state.bundles.map((bundle) => ({ ...bundle, sequence: 10 })),
    });
    expect(await stream.ended).toMatchObject({ code: status.PERMISSION_DENIED });
    expect(stream.messages).toHaveLength(1);
  });
});

describe("FetchWITBundles", () => {
  it("A-14 are plain JWK Sets of the WIT keys, as text, of the own trust domain at least", async () => {
    const stream = endpoint.client.stream("FetchWITBundles");
    await stream.have(1);
    stream.cancel();
    const { bundles }: { readonly bundles: Readonly<Record<string, string>> } = Object(stream.messages[0]);
    expect(Object.keys(bundles)).toEqual([OWN]);
    const { keys } = JSON.parse(bundles[OWN] ?? "");
    expect(keys).toEqual([expect.objectContaining({ kty: "EC", kid: endpoint.source.domain.witKid })]);
    expect(keys[0]).not.toHaveProperty("use");
  });

  it("refuses whoever has no identity", async () => {
    endpoint.source.state = { svids: [], bundles: endpoint.source.state.bundles };
    expect(await endpoint.client.stream("FetchWITBundles").ended).toMatchObject({
      code: status.PERMISSION_DENIED,
    });
  });
});
