/** Evidence of platforms against a real server: what it makes of it, what it refuses, and how often it serves. */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { agentView } from "@trustwarden/core/api/ledger.ts";
import { issueEnvelope, parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  awsDocument,
  certificates,
  configureAws,
  pkcs7Evidence,
  plainEvidence,
} from "../attacks/support/aws-documents.ts";
import { startIssuer, type TestIssuer, TestKey } from "../server/attest/issuer.test.support.ts";
import { createOwner, parseAnswer, type TestOwner } from "./support/actors.ts";
import { codeOf, sendAdmin } from "./support/http.ts";
import { createEntry, entryOf, postEntry, postEvidence, postNode } from "./support/nodes.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const key = new TestKey("issuer-1", "ES256");
let issuer: TestIssuer;
let server: TestServer;
let owner: TestOwner;
let tokens = 0;

const settings = () => {
  const keys = { jwks: { url: `${issuer.url}/keys`, allowPrivate: true } };
  const provider = { issuer: issuer.url, keys, algorithms: ["ES256" as const] };
  const { attestation } = configureAws();
  return {
    attestation: {
      ...attestation,
      oidc: [
        { ...provider, name: "once" },
        { ...provider, name: "often", singleUse: false },
      ],
    },
  };
};

beforeAll(async () => {
  issuer = await startIssuer([key]);
  server = await startTestServer(settings());
  owner = await createOwner(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  await issuer.close();
});

function oidcEvidence(provider: string, sub: string) {
  tokens += 1;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer.url,
    aud: "spiffe://acme.test",
    sub,
    iat: now,
    exp: now + 600,
    jti: `${tokens}`,
  };
  return { type: "oidc", provider, token: key.token(claims) };
}

describe("a workload that shows evidence", () => {
  it("becomes the agent of the entry that asks for its selectors, and the ledger says by what", async () => {
    const { entryId } = await createEntry(server, owner, { name: "job", selectors: ["oidc:once:sub:job"] });
    const evidence = oidcEvidence("once", "job");
    const answer = parseAnswer(identityAnswer, await postEvidence(server, evidence));
    expect(answer).toMatchObject({ name: "job", path: "team/web", owner_id: owner.ownerId });
    const target = `/v1/agents/${answer.agent_id}`;
    const view = parseAnswer(agentView, await sendAdmin(server.adminSocket, { target }));
    expect(view.instances[0]).toMatchObject({
      entry_id: entryId,
      attested: { type: "oidc", strength: "network", selectors: ["oidc:once:sub:job"] },
    });
    const [event] = await eventsOf(server, "issue");
    expect(JSON.stringify(event)).not.toContain(evidence.token);
  });

  it("is told nothing but no when nothing matches, and its evidence stays unused", async () => {
    const evidence = oidcEvidence("once", "later");
    const refused = await postEvidence(server, evidence);
    expect([refused.status, codeOf(refused)]).toEqual([403, "entry_not_matched"]);
    await createEntry(server, owner, { name: "later", selectors: ["oidc:once:sub:later"] });
    expect((await postEvidence(server, evidence)).status).toBe(200);
    await expectRefused(server, () => postEvidence(server, evidence), "attestation_replayed");
  });

  it("shows a token as often as it is configured to", async () => {
    await createEntry(server, owner, { name: "often", selectors: ["oidc:often:sub:often"] });
    const evidence = oidcEvidence("often", "often");
    for (const _try of [1, 2]) expect((await postEvidence(server, evidence)).status).toBe(200);
  });

  it("gets one identity of fifty parallel uses of its evidence", async () => {
    await createEntry(server, owner, { name: "parallel", selectors: ["oidc:once:sub:parallel"] });
    const evidence = oidcEvidence("once", "parallel");
    const answers = await Promise.all(Array.from({ length: 50 }, () => postEvidence(server, evidence)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it("shows no document a second time: not in another form, not as a node, not after a restart", async () => {
    const { genuine } = certificates();
    await createEntry(server, owner, { name: "machine", selectors: ["aws:account:123456789012"] });
    const text = awsDocument();
    expect((await postEvidence(server, pkcs7Evidence({ signer: genuine }, text))).status).toBe(200);
    await expectRefused(
      server,
      () => postEvidence(server, pkcs7Evidence({ signer: genuine, hasAttributes: false }, text)),
      "attestation_replayed",
    );
    await expectRefused(
      server,
      () => postEvidence(server, plainEvidence(genuine, text)),
      "attestation_replayed",
    );
    const { home } = server;
    await server.close();
    server = await startTestServer(settings(), home);
    await expectRefused(
      server,
      () => postEvidence(server, plainEvidence(genuine, text)),
      "attestation_replayed",
    );
  });

  it("is refused under the code of what is wrong, and told nothing", async () => {
    const good = oidcEvidence("once", "job");
    const shown = [
      [{ ...good, token: "e30.e30.AA" }, "attestation_malformed"],
      [{ ...good, token: `${good.token.slice(0, -8)}AAAAAAAA` }, "attestation_refused"],
      [{ ...good, provider: "other" }, "attestation_untrusted_issuer"],
      [{ type: "github", token: good.token }, "attestation_untrusted_issuer"],
      [pkcs7Evidence({ signer: certificates().double }), "attestation_refused"],
      [
        plainEvidence(certificates().genuine, awsDocument({ pendingTime: "2026-01-01T00:00:00Z" })),
        "attestation_expired",
      ],
    ] as const;
    for (const [evidence, code] of shown)
      await expectRefused(server, () => postEvidence(server, evidence), code);
  });
});

describe("a node that shows evidence", () => {
  it("is admitted where an operator said so, once", async () => {
    const { genuine } = certificates();
    const node_entry = { name: "cloud-host", selectors: ["aws:account:111111111111"] };
    const body = JSON.stringify({ node_entry });
    const admitted = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/entries", body });
    expect(admitted.status).toBe(200);
    const text = awsDocument({ accountId: "111111111111" });
    const answer = parseAnswer(identityAnswer, await postNode(server, plainEvidence(genuine, text)));
    expect(answer.spiffe_id).toMatch(/^spiffe:\/\/acme\.test\/trustwarden\/node\/cloud-host\/inst-/);
    await expectRefused(server, () => postNode(server, plainEvidence(genuine, text)), "attestation_replayed");
  });
});

describe("an entry that strangers could match", () => {
  it.each([
    [["unix:path:/usr/bin/agent"]],
    [["aws:region:eu-central-1"]],
    [["github:repository:acme/agents"]],
  ])("is refused, also when its owner signs it with other tools: %j", async (selectors) => {
    const payload = parseUnverifiedPayload(parseEnvelope(entryOf(owner)));
    const keyid = formatOwnerKeyid(owner.signer.publicKey);
    const weak = issueEnvelope("entry", { ...payload, selectors }, owner.signer, keyid);
    const answer = await postEntry(server, owner, weak);
    expect([answer.status, codeOf(answer)]).toEqual([400, "selectors_too_weak"]);
  });
});
