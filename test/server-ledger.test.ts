/** Reading the ledger over the API: what is found, what is proven, and what is hidden from whom. */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyConsistency } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { verifyInclusion } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { formatTilePath, parseBundle, tilesOf } from "@trustwarden/core/agentledger/tile.ts";
import {
  consistencyAnswer,
  discovery,
  type EventView,
  eventAnswer,
  eventPage,
  statusAnswer,
} from "@trustwarden/core/api/ledger.ts";
import { encodeUtf8, parseBase64 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  ownerRequest,
  parseAnswer,
  parseDecision,
  serverIdOf,
  signedRequest,
  spawn,
  type TestInstance,
  type TestOwner,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let aud: string;
let alice: TestOwner;
let bob: TestOwner;
let parent: TestInstance;
let child: TestInstance;
let stranger: TestInstance;
let verifier: TestInstance;
let eventId: string;
let policyName: string;

beforeAll(async () => {
  server = await startTestServer();
  aud = await serverIdOf(server);
  alice = await createOwner(server, "alice");
  bob = await createOwner(server, "bob");
  parent = await enrolAgent(server, alice, { name: "parent" });
  child = await spawn(server, parent, { name: "child" });
  stranger = await enrolAgent(server, bob, { name: "stranger" });
  verifier = await enrolVerifier(server);
  const decision = parseDecision(
    await askDecision(server, { caller: verifier, agent: child, intent: visitIntent(child, verifier) }),
  );
  eventId = decision.receipt.event_id;
  const body = JSON.stringify({ outcome: outcomeOf(verifier, decision.receipt) });
  await send(server.url, { method: "POST", target: "/v1/outcomes", body }, verifier.tls);
  policyName = parseAnswer(statusAnswer, await asOperator("/v1/status")).policy.name;
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const asAgent = (agent: TestInstance, target: string): Promise<RawAnswer> =>
  send(server.url, signedRequest(agent, { target, action: "read:ledger", aud }), agent.tls);
const asOwner = (owner: TestOwner, target: string): Promise<RawAnswer> =>
  send(server.url, ownerRequest(owner, { target, aud }));
const asOperator = (target: string): Promise<RawAnswer> => sendAdmin(server.adminSocket, { target });
const eventsIn = (answer: RawAnswer): readonly EventView[] => parseAnswer(eventPage, answer).events;
const ids = (events: readonly EventView[]): readonly string[] => events.map(({ event_id }) => event_id);

describe("one action", () => {
  it("answers who did it, who authorized it, and how it ended", async () => {
    const { event, records, checkpoint, witnessed } = parseAnswer(
      eventAnswer,
      await asOperator(`/v1/events/${eventId}`),
    );
    expect(event).toMatchObject({
      kind: "action",
      agent_id: child.answer.agent_id,
      agent_identity: child.answer.spiffe_id,
      parent_agent_id: parent.answer.agent_id,
      owner_id: alice.ownerId,
      chain: [`owner:${alice.ownerId}`, parent.answer.agent_id, child.answer.agent_id],
      action: "read:transactions",
      outcome: "success",
      class: "C",
      enforcement: "service",
    });
    expect(event.authorized_by).toMatch(/^policy:trustwarden-builtin-v1@/);
    expect(witnessed).toBe(false);
    const { log_vkey } = discovery.parse(
      jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
    );
    const { size, root } = verifyCheckpoint(checkpoint, log_vkey);
    expect(records).toHaveLength(3);
    for (const { index, entry, inclusion_proof } of records) {
      const leaf = leafHash(encodeUtf8(entry));
      verifyInclusion({ index, size, leaf, proof: inclusion_proof.map(parseBase64), root });
    }
  });

  it("is found by its agent, an ancestor and their owner, and by nobody else", async () => {
    for (const agent of [child, parent])
      expect(ids(eventsIn(await asAgent(agent, "/v1/events")))).toContain(eventId);
    expect(ids(eventsIn(await asOwner(alice, "/v1/events")))).toContain(eventId);
    expect(ids(eventsIn(await asOwner(bob, "/v1/events")))).not.toContain(eventId);
    expect(ids(eventsIn(await asAgent(stranger, "/v1/events")))).not.toContain(eventId);
    const theirs = `/v1/events?owner=${alice.ownerId}`;
    expect(eventsIn(await asOwner(bob, theirs))).toEqual([]);
    expect((await asAgent(child, `/v1/events/${eventId}`)).status).toBe(200);
    expect((await asOwner(bob, `/v1/events/${eventId}`)).status).toBe(404);
    expect((await asAgent(stranger, `/v1/events/${eventId}`)).status).toBe(404);
  });

  it("is not shown to services", async () => {
    const answer = await send(server.url, { target: `/v1/events/${eventId}` }, verifier.tls);
    expect(answer.status).toBe(401);
  });
});

describe("a search", () => {
  it("takes every filter, and pages", async () => {
    const filters = [
      `agent=${child.answer.agent_id}`,
      `agent=${child.answer.instance_id}`,
      `agent=${encodeURIComponent(child.answer.spiffe_id)}`,
      `owner=${alice.ownerId}`,
      "action=read:transactions",
      "resource=postgres://finance-db/transactions",
      "outcome=success&kind=action",
      `actor=${child.answer.agent_id}`,
      `subtree=${parent.answer.agent_id}`,
      `subtree=${alice.ownerId}`,
      "decision=allow&order=oldest",
      `policy=${policyName}&actor=${child.answer.agent_id}`,
      "since=2020-01-01T00:00:00Z&kind=action",
    ];
    for (const filter of filters) {
      expect([filter, ids(eventsIn(await asOperator(`/v1/events?${filter}`))).includes(eventId)]).toEqual([
        filter,
        true,
      ]);
    }
    expect(eventsIn(await asOperator("/v1/events?until=2020-01-01T00:00:00Z"))).toEqual([]);
    const first = parseAnswer(eventPage, await asOperator("/v1/events?limit=2"));
    const second = parseAnswer(eventPage, await asOperator(`/v1/events?limit=2&cursor=${first.next_cursor}`));
    expect(new Set([...ids(first.events), ...ids(second.events)]).size).toBe(4);
    const back = `/v1/events?limit=2&cursor=${second.previous_cursor}`;
    expect(ids(eventsIn(await asOperator(back)))).toEqual(ids(first.events));
    expect(first.previous_cursor).toBeNull();
  });

  it("tells an agent's own actions from those below it, and one decision from the other", async () => {
    const found = async (filter: string) =>
      ids(eventsIn(await asOperator(`/v1/events?kind=action&${filter}`))).includes(eventId);
    expect(await found(`agent=${parent.answer.agent_id}`)).toBe(true);
    expect(await found(`actor=${parent.answer.agent_id}`)).toBe(false);
    expect(await found(`subtree=${stranger.answer.agent_id}`)).toBe(false);
    expect(await found("decision=deny")).toBe(false);
    expect(await found("policy=another")).toBe(false);
    expect(await found("job=another")).toBe(false);
  });

  it("comes with the proof of every record where it is asked for, and with none where it is not", async () => {
    const target = `/v1/events?kind=action&actor=${child.answer.agent_id}`;
    expect(parseAnswer(eventPage, await asOperator(target)).proof).toBeUndefined();
    const { events, proof } = parseAnswer(eventPage, await asOperator(`${target}&proofs=true`));
    expect(proof?.records.map(({ index }) => index)).toEqual(
      events.flatMap(({ indexes }) => indexes).sort((left, right) => left - right),
    );
    const { log_vkey } = discovery.parse(
      jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
    );
    const { size, root } = verifyCheckpoint(proof?.checkpoint ?? "", log_vkey);
    for (const { index, entry, inclusion_proof } of proof?.records ?? []) {
      const leaf = leafHash(encodeUtf8(entry));
      verifyInclusion({ index, size, leaf, root, proof: inclusion_proof.map(parseBase64) });
    }
    expect((await asOperator(`${target}&proofs=true&limit=100`)).status).toBe(200);
    expect((await asOperator(`${target}&proofs=true&limit=101`)).status).toBe(400);
    expect((await asOperator("/v1/events?actor=agt_nobody&proofs=true")).status).toBe(200);
  });

  it("refuses what is no filter, no time, no cursor and no limit", async () => {
    for (const query of [
      "x=1",
      "since=yesterday",
      "cursor=!",
      "limit=0",
      "limit=501",
      "limit=x",
      "outcome=maybe",
      "decision=maybe",
      "order=random",
      "proofs=1",
      "policy=a&policy=b",
    ]) {
      expect([query, (await asOperator(`/v1/events?${query}`)).status]).toEqual([query, 400]);
    }
  });
});

describe("tree heads", () => {
  it("grow out of one another", async () => {
    const before = parseAnswer(consistencyAnswer, await asOperator("/v1/ledger/consistency?from=1"));
    const { log_vkey } = discovery.parse(
      jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
    );
    const old = verifyCheckpoint(before.checkpoint, log_vkey);
    for (let index = 0; index < 5; index += 1) await asOperator("/v1/status");
    const { proof, checkpoint } = parseAnswer(
      consistencyAnswer,
      await asOperator(`/v1/ledger/consistency?from=${old.size}`),
    );
    const now = verifyCheckpoint(checkpoint, log_vkey);
    verifyConsistency({
      oldSize: old.size,
      oldRoot: old.root,
      newSize: now.size,
      newRoot: now.root,
      proof: proof.map(parseBase64),
    });
    expect((await asOperator("/v1/ledger/consistency?from=5&to=4")).status).toBe(404);
    expect((await asOperator("/v1/ledger/consistency?from=0&to=999999")).status).toBe(404);
  });
});

describe("the tiles", () => {
  it("are public as hashes; as entries they are for operators", async () => {
    const note = (await send(server.url, { target: "/ledger/checkpoint" })).text;
    const { log_vkey } = discovery.parse(
      jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
    );
    const { size } = verifyCheckpoint(note, log_vkey);
    const names = tilesOf(size);
    const hashes = names.find(({ level }) => level === 0);
    const entries = names.find(({ level }) => level === "entries");
    if (hashes === undefined || entries === undefined) throw new Error("a log with entries has both");
    const hashTile = await send(server.url, { target: `/ledger/${formatTilePath(hashes)}` });
    const entryPath = `/ledger/${formatTilePath(entries)}`;
    const bundle = await sendAdmin(server.adminSocket, { target: entryPath });
    expect([hashTile.status, bundle.status]).toEqual([200, 200]);
    expect(hashTile.headers["content-type"]).toBe("application/octet-stream");
    const [first] = parseBundle(bundle.bytes, entries);
    expect(Buffer.from(leafHash(first ?? new Uint8Array()))).toEqual(hashTile.bytes.subarray(0, 32));
    expect((await send(server.url, { target: entryPath })).status).toBe(404);
  });

  it("are found by their one path, and nothing else is (F22)", async () => {
    for (const path of [
      "0/0",
      "0/000.p/0",
      "0/000.p/257",
      "00/000",
      "x/000",
      "0/999",
      "0/000/..",
      "checkpoint",
      "state",
    ]) {
      expect((await send(server.url, { target: `/ledger/tile/${path}` })).status).toBeGreaterThanOrEqual(400);
    }
  });
});

describe("every call of the control plane", () => {
  it("leaves exactly one event, also when it fails (I11)", async () => {
    const count = async () => parseAnswer(eventPage, await asOperator("/v1/events?limit=500")).events.length;
    const post = (target: string, body: object) => () =>
      sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
    const calls: readonly [string, () => Promise<RawAnswer>, number][] = [
      ["owner exists", post("/v1/owners", { name: "alice", spki: "AA" }), 400],
      ["unknown instance", post("/v1/revocations", { target: { kind: "instance", id: "inst-none" } }), 404],
      ["unknown narrowing", post("/v1/narrowings", { instance_id: "inst-none", scope: [] }), 404],
      ["verifier ticket", post("/v1/verifier-tickets", { name: "x", ttl_seconds: 60 }), 200],
      ["not the owner's agent", () => revokeAs(bob, child), 403],
      ["not the agent's child", () => revokeByAgent(stranger, child), 403],
      ["its own agent", () => revokeAs(bob, stranger), 200],
    ];
    for (const [name, call, status] of calls) {
      const before = await count();
      const answer = await call();
      // Counting is itself a recorded read.
      expect([name, answer.status, (await count()) - before]).toEqual([name, status, 2]);
    }
  });

  it("records a denied agent's intent before the refusal", async () => {
    const answer = await revokeByAgent(parent, verifier);
    expect([answer.status, codeOf(answer)]).toEqual([403, "denied"]);
    const [event] = await eventsOf(server, "refuse");
    expect(event).toMatchObject({
      agent_identity: parent.answer.spiffe_id,
      authorized_by: parent.answer.spiffe_id,
      action: "revoke:instance",
      reasons: ["principal_not_permitted"],
    });
    expect(event?.indexes).toHaveLength(2);
  });
});

function revokeAs(owner: TestOwner, target: TestInstance): Promise<RawAnswer> {
  const body = JSON.stringify({ target: { kind: "instance", id: target.answer.instance_id } });
  return send(server.url, ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud }));
}

function revokeByAgent(agent: TestInstance, target: TestInstance): Promise<RawAnswer> {
  const body = JSON.stringify({ target: { kind: "instance", id: target.answer.instance_id } });
  const request = { method: "POST", target: "/v1/revocations", body, action: "revoke:instance", aud };
  return send(server.url, signedRequest(agent, request), agent.tls);
}

describe("what a reader may keep", () => {
  it("is a full tile for ever, and a partial tile or the checkpoint for seconds (14)", async () => {
    const full = formatTilePath({ level: 0, index: 0, width: 256 });
    while ((await sizeOf(server)) < 257) {
      await Promise.all(Array.from({ length: 32 }, () => asOperator("/v1/status")));
    }
    const size = await sizeOf(server);
    const partial = tilesOf(size).find(({ level, width }) => level === 1 && width < 256);
    if (partial === undefined) throw new Error("the second level is not full yet");
    const cacheControlOf = async (path: string) =>
      (await send(server.url, { target: `/ledger/${path}` })).headers["cache-control"];
    expect(await cacheControlOf(full)).toBe("public, max-age=31536000, immutable");
    expect(await cacheControlOf(formatTilePath(partial))).toBe("public, max-age=5");
    const checkpoint = await send(server.url, { target: "/ledger/checkpoint" });
    expect(checkpoint.headers["cache-control"]).toBe("no-cache");
    expect(checkpoint.headers["content-type"]).toBe("text/plain; charset=utf-8");
  });

  it("comes as it is, also to a client that would take it compressed (15)", async () => {
    const target = `/ledger/${formatTilePath({ level: 0, index: 0, width: 256 })}`;
    const plain = await send(server.url, { target });
    const asked = await send(server.url, { target, headers: { "accept-encoding": "gzip" } });
    expect(asked.status).toBe(200);
    expect(asked.headers["content-encoding"]).toBeUndefined();
    expect(asked.bytes).toEqual(plain.bytes);
    expect(asked.bytes).toHaveLength(8192);
  });
});

async function sizeOf({ url }: TestServer): Promise<number> {
  const { log_vkey } = discovery.parse(jsonOf(await send(url, { target: "/.well-known/trustwarden" })));
  return verifyCheckpoint((await send(url, { target: "/ledger/checkpoint" })).text, log_vkey).size;
}

describe("an altered index", () => {
  it("is found out as soon as its answer must be proven", async () => {
    const index = new DatabaseSync(join(server.home.dataDir, "index.db"));
    const target = `/v1/events?kind=action&actor=${child.answer.agent_id}`;
    const before = eventsIn(await asOperator(target));
    const change = "UPDATE events SET action = NULL WHERE event_id = ?";
    index.prepare(change).run(Buffer.from(eventId.replaceAll("-", ""), "hex"));
    index.close();
    const lie = eventsIn(await asOperator(target));
    expect(ids(lie)).toEqual(ids(before));
    expect(lie).not.toEqual(before);
    const proven = await asOperator(`${target}&proofs=true`);
    expect([proven.status, codeOf(proven)]).toEqual([500, "ledger_index_mismatch"]);
    const shown = await asOperator(`/v1/events/${eventId}`);
    expect([shown.status, codeOf(shown)]).toEqual([500, "ledger_index_mismatch"]);
  });
});
