/** Workloads and nodes that bring evidence of their own, verified by the server; and what an offline audit says of it. */
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { agentView } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestKey } from "../server/attest/issuer.test.support.ts";
import { createOwner, instanceOf, parseAnswer, type TestOwner } from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import {
  askInstance,
  createEntry,
  deliver,
  findingsOf,
  joinNode,
  postEvidence,
  postNode,
  removeEntry,
} from "./support/nodes.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { createHome, startTestServer, type TestServer } from "./support/server.ts";

const key = new TestKey("key-1");
const settings = {
  attestation: {
    github: {
      issuer: "https://issuer.test",
      keys: { inline: [{ ...key.bareJwk, kid: key.kid, alg: key.alg }] },
    },
  },
};
let server: TestServer;
let owner: TestOwner;
let run = 100;

beforeAll(async () => {
  server = await startTestServer(settings);
  owner = await createOwner(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** A job's token as GitHub makes it, each of another run. */
function jobOf(claims: object = {}): { readonly type: "github"; readonly token: string } {
  const now = Math.floor(Date.now() / 1000);
  run += 1;
  const token = key.token({
    iss: "https://issuer.test",
    aud: "spiffe://acme.test",
    sub: "repo:acme/crawler:ref:refs/heads/main",
    jti: `job-${run}`,
    iat: now,
    nbf: now,
    exp: now + 300,
    repository: "acme/crawler",
    repository_id: "7",
    repository_owner_id: "8",
    ref: "refs/heads/main",
    event_name: "push",
    run_id: String(run),
    run_attempt: "1",
    actor_id: "9",
    ...claims,
  });
  return { type: "github", token };
}

async function expectTurnedDown(ask: () => Promise<RawAnswer>, status: number, code: string): Promise<void> {
  const answer = await ask();
  const [event] = await eventsOf(server, "refuse");
  expect([answer.status, codeOf(answer), event?.reasons]).toEqual([status, code, [code]]);
}

describe("a workload with evidence", () => {
  it("becomes what the one matching entry says, with the facts that were signed", async () => {
    const selectors = ["github:ref:refs/heads/main", "github:repository_id:7"];
    const { entryId } = await createEntry(server, owner, { name: "job", selectors, nodes: ["*"] });
    const answer = parseAnswer(identityAnswer, await postEvidence(server, jobOf()));
    expect(answer).toMatchObject({ path: "team/web", name: "job", owner_id: owner.ownerId });
    const view = parseAnswer(
      agentView,
      await sendAdmin(server.adminSocket, { target: `/v1/agents/${answer.agent_id}` }),
    );
    expect(view.instances[0]).toMatchObject({
      custody: "agent",
      entry_id: entryId,
      node_instance_id: null,
      attested: { type: "github", strength: "network" },
    });
    expect(view.instances[0]?.attested.selectors).toEqual(expect.arrayContaining(selectors));
    await removeEntry(server, owner, entryId);
  });

  it("is refused without a matching entry, with several, and with the one that another needs", async () => {
    await expectTurnedDown(() => postEvidence(server, jobOf()), 403, "entry_not_matched");
    const selectors = ["github:repository_id:7"];
    const { entryId } = await createEntry(server, owner, { name: "a", selectors });
    const other = await createEntry(server, owner, { name: "b", selectors });
    await expectTurnedDown(() => postEvidence(server, jobOf()), 409, "entry_ambiguous");
    const members = { entry_id: entryId };
    expect((await postEvidence(server, jobOf(), { members })).status).toBe(200);
    await expectTurnedDown(
      () => postEvidence(server, jobOf({ repository_id: "6" }), { members }),
      403,
      "entry_not_matched",
    );
    await removeEntry(server, owner, other.entryId);
    expect((await postEvidence(server, jobOf())).status).toBe(200);
    await removeEntry(server, owner, entryId);
  });

  it("is refused with evidence that was used, forged, or is for another key", async () => {
    const { entryId } = await createEntry(server, owner, {
      name: "c",
      selectors: ["github:repository_id:7"],
    });
    const job = jobOf();
    expect((await postEvidence(server, job)).status).toBe(200);
    await expectRefused(server, () => postEvidence(server, job), "attestation_replayed");
    const forged = { type: "github", token: new TestKey("key-1").token({ iss: "https://issuer.test" }) };
    await expectRefused(server, () => postEvidence(server, forged), "attestation_refused");
    const swapped = { members: { evidence: jobOf() } };
    await expectRefused(server, () => postEvidence(server, jobOf(), swapped), "possession_invalid");
    await removeEntry(server, owner, entryId);
  });

  it("cannot use evidence a second time after a restart", async () => {
    const home = createHome();
    let restarted = await startTestServer(settings, home);
    const someone = await createOwner(restarted);
    await createEntry(restarted, someone, { selectors: ["github:repository_id:7"] });
    const job = jobOf();
    expect((await postEvidence(restarted, job)).status).toBe(200);
    await restarted.close();
    restarted = await startTestServer(settings, home);
    await expectRefused(restarted, () => postEvidence(restarted, job), "attestation_replayed");
    await restarted.close();
    home.remove();
  });
});

describe("a node with evidence", () => {
  it("joins under the name that the operator admits its evidence as", async () => {
    const body = JSON.stringify({ node_entry: { name: "runner", selectors: ["github:repository_id:70"] } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/entries", body });
    const evidence = jobOf({ repository_id: "70" });
    const signer = createTestSigner();
    const answer = parseAnswer(identityAnswer, await postNode(server, evidence, { signer }));
    expect(answer.name).toBe("runner");
    const node = instanceOf(answer, signer);
    const entry = await createEntry(server, owner, { name: "on-runner", nodes: ["runner"] });
    expect((await askInstance(server, node, entry)).status).toBe(200);
    await expectTurnedDown(() => postNode(server, jobOf({ repository_id: "71" })), 403, "entry_not_matched");
  });
});

describe("the ledger of nodes and entries", () => {
  it("passes the offline audit, whoever was issued what by whom", async () => {
    const node = await joinNode(server);
    const entry = await createEntry(server, owner, { name: "audited" });
    await deliver(server, node, entry, { classSigner: createTestSigner() });
    expect((await send(server.url, { target: "/v1/node/entries" }, node.tls)).status).toBe(200);
    await removeEntry(server, owner, entry.entryId);
    expect(await findingsOf(server)).toEqual([]);
  });
});
