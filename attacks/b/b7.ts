/** B7: somebody else's key. */
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { nonceOf, ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { signGrant } from "../support/documents.ts";
import { enrolWith, postInstance } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** A proof that names the victim's key and is signed by the attacker's. */
async function stealKey(
  world: World,
  enrolment: string,
  keys: {
    readonly victim: ReturnType<typeof createTestSigner>;
    readonly thief: ReturnType<typeof createTestSigner>;
  },
): Promise<string> {
  const thumbprint = formatThumbprint(keys.victim.publicKey);
  const nonce = await nonceOf(world.server);
  const payload = { v: 1, nonce, thumbprint, enrolment_sha256: digestOfEnrolment(enrolment) };
  const possession = issueEnvelope("possession", payload, keys.thief, thumbprint);
  return JSON.stringify({ enrolment, possession, spki: encodeBase64url(encodeSpki(keys.victim.publicKey)) });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B7",
  title: "submits another agent's public key without holding its private key",
  expected: "refused: there is no proof of possession",
  weakening: "possession-signature-unchecked",
  prepare: async (world) => ({
    owner: await world.owner(),
    parent: await world.enrol(["read:transactions", "write:reports"]),
    victim: createTestSigner(),
    thief: createTestSigner(),
    from: world.source(),
  }),
  control: async (world, { owner, parent }) => {
    const honest = await enrolWith(world, ticketOf(owner, { name: world.name("honest") }), {
      signer: createTestSigner(),
    });
    expectSame(honest.status, 200, "the holder of a key enrols it by ticket");
    const child = createTestSigner();
    const grant = signGrant(parent, child, { name: world.name("honest") });
    expectSame((await enrolWith(world, grant, { signer: child })).status, 200, "and by grant");
  },
  attack: async (world, { owner, parent, victim, thief, from }) => {
    const ticket = ticketOf(owner, { name: world.name("thief") });
    const byTicket = await postInstance(world, await stealKey(world, ticket, { victim, thief }), from);
    expectRefusal(byTicket, UNPROVEN, "a ticket for somebody else's key");
    const grant = signGrant(parent, victim, { name: world.name("thief") });
    const byGrant = await postInstance(world, await stealKey(world, grant, { victim, thief }), from);
    expectRefusal(byGrant, UNPROVEN, "a grant for somebody else's key");
    const own = await enrolWith(world, grant, { signer: thief, from });
    expectRefusal(own, UNPROVEN, "somebody else's grant for one's own key");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "unauthenticated", reason: "signature_invalid" }, 2);
    await ledger.expect({ kind: "refuse", principal: "unauthenticated", reason: "grant_invalid" }, 1);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
