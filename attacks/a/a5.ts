/** A5: somebody reads another agent's claim code and claims it. */
import { digestOfClaimCode } from "@trustwarden/core/agentid/claim-code.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { createOwner, parseAnswer, postEnrolment } from "../../test/support/actors.ts";
import {
  accept,
  askToBeClaimed,
  claimTicket,
  collect,
  search,
  ticketIn,
  wishOf,
} from "../../test/support/claims.ts";
import { send } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { textsIn } from "../support/backups.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { expectCode } from "../support/people-cast.ts";

const UNKNOWN = [404, "claim_unknown"] as const;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "A5",
  title:
    "reads another agent's claim code, on its screen and in the data directory, and claims or collects with it",
  expected:
    "a code finds one waiting agent once, for the owner whom the agent named; what comes of it fits that agent's key alone; kept as a digest",
  weakening: "claims-for-any-key",
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => {
    const owner = await createOwner(world.server, world.name("owner"));
    const thief = await createOwner(world.server, world.name("thief"));
    const ask = (name: string) =>
      askToBeClaimed(world.server, wishOf(world.name(name), { owner: owner.ownerId }));
    return { owner, thief, agent: await ask("foundling"), wanted: await ask("wanted") };
  },
  control: async (world, { owner, wanted }) => {
    const { server } = world;
    expectSame((await search(server, owner, wanted.code)).status, 200, "its owner finds it");
    const taken = await accept(server, owner, { code: wanted.code, ticket: claimTicket(owner, wanted) });
    expectSame(taken.status, 200, "its owner claims it");
    const ticket = ticketIn(await collect(server, wanted, wanted.signer));
    const { owner_id } = parseAnswer(identityAnswer, await postEnrolment(server, ticket, wanted.signer));
    expectSame(owner_id, owner.ownerId, "whose agent it is");
  },
  attack: async (world, { owner, thief, agent, wanted }) => {
    const { server, home } = world;
    const key = createTestSigner();
    const own = { signer: key, wish: agent.wish };
    expectCode(await search(server, thief, agent.code), UNKNOWN, "another owner with the code");
    const grabbed = await accept(server, thief, { code: agent.code, ticket: claimTicket(thief, agent) });
    expectCode(grabbed, UNKNOWN, "another owner who signs for it");
    const swapped = await accept(server, owner, { code: agent.code, ticket: claimTicket(owner, own) });
    expectCode(swapped, [409, "claim_mismatch"], "the owner is shown another key");
    const body = JSON.stringify({ code: agent.code });
    const bare = await send(server.url, { method: "POST", target: "/v1/claims/search", body });
    expectRefusal(bare, UNPROVEN, "the code alone");
    expectCode(await collect(server, wanted, key), UNKNOWN, "another agent that comes for the ticket");
    const ticket = ticketIn(await collect(server, wanted, wanted.signer));
    expectRefusal(await postEnrolment(server, ticket, key), UNPROVEN, "the ticket under another key");
    const again = await accept(server, owner, { code: wanted.code, ticket: claimTicket(owner, wanted) });
    expectCode(again, UNKNOWN, "a code that was used");
    const texts = textsIn(home.dataDir);
    const isKept = (word: string) => texts.some((text) => text.includes(word));
    for (const code of [agent.code, agent.code.replaceAll("-", "")])
      expectSame(isKept(code), false, "the code in the data directory");
    const thumbprint = formatThumbprint(agent.signer.publicKey);
    expectSame(isKept(thumbprint), true, "the agent that waits in the data directory");
    const kept = digestOfClaimCode(agent.code);
    expectSame(isKept(kept), true, "the code's digest in the data directory");
    expectCode(await search(server, owner, kept), UNKNOWN, "what is kept instead of a code");
    const rightful = await accept(server, owner, { code: agent.code, ticket: claimTicket(owner, agent) });
    expectSame(rightful.status, 200, "its owner, after all that");
  },
  evidence: async (ledger, { owner, thief }) => {
    await ledger.expect({ kind: "ticket", principal: `owner:${owner.ownerId}`, outcome: "success" }, 1);
    await ledger.expect({ kind: "ticket", principal: `owner:${thief.ownerId}`, outcome: "success" }, 0);
  },
});
