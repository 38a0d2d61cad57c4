/** What counts as the record of a signature, and as a signer. */
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, test } from "vitest";
import { type ApiRequest, createClient } from "../client.ts";
import { isSignerInForce, isSigningRecorded } from "./records.ts";
import { kindOfPayload, signingOf } from "./signing.ts";

const SIGNED_AT = 1_790_000_000;
const SPIFFE_ID = parseSpiffeId("spiffe://acme.test/dev/coder/inst-01K00000000000000000000000");
const SIGNING = signingOf("tools", "commit", encodeUtf8("tree 1"));
const SIGNATURE = { spiffeId: SPIFFE_ID, instanceId: "inst-1", svidSha256: "x", signedAt: SIGNED_AT };

/** A server whose ledger holds one event, and what it was asked. */
function ledgerWith(overrides: object) {
  const asked: ApiRequest[] = [];
  const event = {
    event_id: "e",
    kind: "action",
    agent_id: "agt_1",
    agent_identity: SPIFFE_ID,
    parent_agent_id: null,
    owner_id: "own_1",
    chain: [],
    ...SIGNING,
    timestamp: new Date(SIGNED_AT * 1000).toISOString(),
    outcome: "success",
    reasons: [],
    class: "B",
    enforcement: "self",
    authorized_by: "policy:x",
    signature: "",
    indexes: [1],
    ...overrides,
  };
  const body = encodeUtf8(JSON.stringify({ events: [event], next_cursor: null }));
  const send = async (request: ApiRequest) => {
    asked.push(request);
    return { status: 200, body };
  };
  const client = createClient({ send, close: () => undefined });
  return { client, asked };
}

const timeAt = (seconds: number) => ({ timestamp: new Date(seconds * 1000).toISOString() });

describe("a signature is recorded", () => {
  test("when its instance was allowed exactly this, at the time that it says", async () => {
    const { client, asked } = ledgerWith({});
    expect(await isSigningRecorded(client, SIGNING, SIGNATURE)).toBe(true);
    const query = new URL(asked[0]?.target ?? "", "http://x").searchParams;
    expect(Object.fromEntries(query)).toMatchObject({ agent: SPIFFE_ID, ...SIGNING, kind: "action" });
    for (const same of [{ outcome: "pending" }, timeAt(SIGNED_AT - 300), timeAt(SIGNED_AT + 300)])
      expect(await isSigningRecorded(ledgerWith(same).client, SIGNING, SIGNATURE)).toBe(true);
  });

  test.each([
    { agent_identity: `${SPIFFE_ID}X` },
    { action: "sign:git:other" },
    { resource: `${SIGNING.resource}0` },
    { outcome: "denied" },
    { outcome: "failure" },
    // An intent that nobody decided, or not yet, and an action that was somebody else's to enforce.
    { outcome: "pending", enforcement: null, class: null, authorized_by: "nobody" },
    { enforcement: "gateway" },
    timeAt(SIGNED_AT - 301),
    timeAt(SIGNED_AT + 301),
    { timestamp: "never" },
  ])("and not by another record: %j", async (overrides) => {
    expect(await isSigningRecorded(ledgerWith(overrides).client, SIGNING, SIGNATURE)).toBe(false);
  });
});

test("a signer that ran out counts below the tip, a revoked one nowhere", () => {
  const [tip, below] = [{ isTip: true }, { isTip: false }];
  expect([isSignerInForce("live", tip), isSignerInForce("live", below)]).toEqual([true, true]);
  expect([isSignerInForce("expired", tip), isSignerInForce("expired", below)]).toEqual([false, true]);
  expect([isSignerInForce("revoked", tip), isSignerInForce("revoked", below)]).toEqual([false, false]);
});

describe("signing an object", () => {
  test("is named by repository, kind and digest", () => {
    expect(signingOf("tools", "tag", encodeUtf8("object 1"))).toEqual({
      action: "sign:git:tools",
      resource: "git://tools/tag/7591168325ee4e53348662e67ddfe78704595cdbee277397afd26ff6fa8a9554",
    });
    expect([kindOfPayload(encodeUtf8("tree 1")), kindOfPayload(encodeUtf8("object 1"))]).toEqual([
      "commit",
      "tag",
    ]);
  });

  test.each(["", ".", "..", "a/b", "a b", "a:b", `${"a".repeat(101)}`])(
    "is of no repository called %j",
    (name) => {
      expect(() => signingOf(name, "tag", encodeUtf8("x"))).toThrow(
        expect.objectContaining({ code: "usage" }),
      );
    },
  );

  test("is of commits and tags alone", () => {
    for (const text of ["", "tree", "certificate version 0.1", "blob 1"])
      expect(() => kindOfPayload(encodeUtf8(text))).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
