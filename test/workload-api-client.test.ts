/** The SDK's client of the Workload API, against our endpoint and against what a dishonest one would say. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { verifyWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { createWorkloadApiClient, type TrustWardenError, type WorkloadX509State } from "trustwarden";
import { afterEach, describe, expect, it } from "vitest";
import { createDomain, encodePkcs8, issueSvid } from "../interop/domain.ts";
import type { WorkloadState } from "../node/ports.ts";
import { verifyX509State } from "../sdk/workload-api/answers.ts";
import {
  type Faults,
  openTestEndpoint,
  type TestEndpoint,
} from "./workload-api-conformance/memory-endpoint.test.support.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function open(faults?: Faults) {
  const endpoint: TestEndpoint = await openTestEndpoint(faults);
  const client = createWorkloadApiClient({ socket: endpoint.socket, timeoutMs: 2_000 });
  closers.push(() => client.close(), endpoint.close);
  return { endpoint, client };
}

/** The first SVID with one thing changed. */
function firstSvid(change: Partial<WorkloadState["svids"][number]>): Faults {
  return {
    state: ({ svids: [first, ...others], bundles }) => ({
      bundles,
      svids: first === undefined ? [] : [{ ...first, ...change }, ...others],
    }),
  };
}

describe("the SDK's client of the Workload API", () => {
  it("fetches proven SVIDs with their keys, instance first, and both trust domains' bundles", async () => {
    const { client } = await open();
    const { svids, bundles } = await client.fetchX509();
    expect(svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
      ["spiffe://ours.test/team/pay/inst-1", "instance"],
      ["spiffe://ours.test/team/pay", "class"],
    ]);
    expect(svids[0].privateKey.asymmetricKeyType).toBe("ec");
    expect(svids[0].expiresAt).toBeGreaterThan(Date.now() / 1000);
    expect([...bundles.keys()].toSorted()).toEqual(["other.test", "ours.test"]);
    expect([...(await client.fetchX509Bundles()).keys()].toSorted()).toEqual(["other.test", "ours.test"]);
  });

  it("fetches tokens for several audiences, for one identity, and has them validated", async () => {
    const { client } = await open();
    const tokens = await client.fetchJwtSvids({ audience: ["https://a.test", "https://b.test"] });
    expect(tokens.map(({ spiffeId }) => spiffeId)).toHaveLength(2);
    const [{ spiffeId, svid } = { spiffeId: "", svid: "" }] = tokens;
    expect(await client.validateJwtSvid({ audience: "https://b.test", svid })).toBe(spiffeId);
    await expect(client.validateJwtSvid({ audience: "https://c.test", svid })).rejects.toThrow(
      code("request_malformed"),
    );
    expect((await client.fetchJwtBundles()).size).toBe(2);
  });

  it("fetches WIT-SVIDs with the keys that they are bound to, of all identities or of one", async () => {
    const { client } = await open({ wit: (wit) => wit });
    const svids = await client.fetchWitSvids();
    expect(svids.map(({ hint }) => hint)).toEqual(["instance", "class"]);
    const [{ spiffeId, svid, privateKey }] = svids;
    const bundles = await client.fetchWitBundles();
    const { confirmationKey } = verifyWitSvid(svid, { bundles, now: Date.now() / 1000 });
    expect(createPublicKey(privateKey).equals(confirmationKey)).toBe(true);
    expect(await client.fetchWitSvids(spiffeId)).toHaveLength(1);
  });

  it("is told where WIT-SVIDs are not issued, and refuses one that is not proven or whose key is another", async () => {
    const { client: without } = await open();
    await expect(without.fetchWitSvids()).rejects.toThrow(code("wit_disabled"));
    await expect(without.fetchWitBundles()).rejects.toThrow(code("wit_disabled"));
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { kty, crv, x, y } = other.publicKey.export({ format: "jwk" });
    for (const change of [
      { keyJwk: JSON.stringify(other.privateKey.export({ format: "jwk" })) },
      { keyJwk: JSON.stringify({ kty, crv, x, y }) },
      { keyJwk: "no key" },
      { svid: "a.b.c" },
    ]) {
      const { client } = await open({ wit: (wit) => ({ ...wit, ...change }) });
      await expect(client.fetchWitSvids(), JSON.stringify(change)).rejects.toThrow(
        code("workload_answer_refused"),
      );
    }
  });

  it("A-3 and A-4: a watch hears of rotation at once, and of the withdrawal of the identity", async () => {
    const { client, endpoint } = await open();
    const states: WorkloadX509State[] = [];
    const errors: TrustWardenError[] = [];
    const watch = client.watchX509({
      onState: (state) => states.push(state),
      onError: (error) => errors.push(error),
    });
    await expect.poll(() => states.length).toBe(1);
    endpoint.rotate();
    await expect.poll(() => states.length).toBe(2);
    expect(states[1]?.svids[0].chain[0]).not.toEqual(states[0]?.svids[0].chain[0]);
    endpoint.withdraw();
    await expect.poll(() => errors[0]?.code).toBe("no_identity");
    await expect(client.fetchX509()).rejects.toThrow(code("no_identity"));
    watch.close();
  });

  it("A-9: a process without an identity is told so, and a socket where nobody listens", async () => {
    const { client } = await open({ state: ({ bundles }) => ({ svids: [], bundles }) });
    await expect(client.fetchX509()).rejects.toThrow(code("no_identity"));
    await expect(client.fetchJwtSvids({ audience: ["a"] })).rejects.toThrow(code("no_identity"));
    const lost = createWorkloadApiClient({ socket: "unix:///nowhere/agent.sock" });
    await expect(lost.fetchX509()).rejects.toThrow(code("server_unreachable"));
    expect(() => createWorkloadApiClient({ socket: "unix://nowhere" })).toThrow(code("endpoint_malformed"));
  });

  const now = Math.floor(Date.now() / 1000);
  const strangers = createDomain("ours.test", now);
  const stranger = issueSvid(strangers, ["team", "pay", "inst-1"], now);
  it.each([
    ["another's key", firstSvid({ keyPkcs8: encodePkcs8(stranger.signer) })],
    ["a key that is none", firstSvid({ keyPkcs8: new Uint8Array(8) })],
    [
      "a chain of another authority",
      firstSvid({ chain: stranger.chain, keyPkcs8: encodePkcs8(stranger.signer) }),
    ],
    [
      "a chain that is cut off",
      firstSvid({ chain: [stranger.chain[0]?.subarray(0, 99) ?? new Uint8Array()] }),
    ],
  ])("refuses %s", async (_name, faults) => {
    const { client } = await open(faults);
    await expect(client.fetchX509()).rejects.toThrow(code("workload_answer_refused"));
  });

  it("A-8 takes SVIDs with one hint, in their order, so that the first of them is the one; and refuses none at all", () => {
    const { chain, id, signer } = stranger;
    const svid = {
      spiffeId: id,
      chain: Buffer.concat(chain),
      keyPkcs8: encodePkcs8(signer),
      bundle: strangers.root.der,
      hint: "same",
    };
    const state = (...hints: readonly string[]) => ({
      svids: hints.map((hint) => ({ ...svid, hint })),
      federatedBundles: new Map(),
    });
    const hintsOf = (...hints: readonly string[]) =>
      verifyX509State(state(...hints), now).svids.map(({ hint }) => hint);
    expect(hintsOf("one", "two", "", "one", "")).toEqual(["one", "two", "", "one", ""]);
    expect(() => verifyX509State(state(), now)).toThrow(code("workload_answer_refused"));
  });

  it("refuses a token that is not proven, and tells a watcher of a state that is not", async () => {
    const { client } = await open({ token: (token) => `${token.slice(0, -8)}AAAAAAAA` });
    await expect(client.fetchJwtSvids({ audience: ["a"] })).rejects.toThrow(code("workload_answer_refused"));
    const { client: other } = await open(firstSvid({ keyPkcs8: new Uint8Array(8) }));
    const error = await new Promise<TrustWardenError>((resolve) => {
      const watch = other.watchX509({
        onState: () => undefined,
        onError: (found) => {
          watch.close();
          resolve(found);
        },
      });
    });
    expect(error.code).toBe("workload_answer_refused");
  });
});
