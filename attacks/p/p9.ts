/** P9: a workload of a federated trust domain that nobody registered. */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { askDecision, enrolVerifier, parseDecision, visitIntent } from "../../test/support/actors.ts";
import {
  createForeignDomain,
  foreignInstanceOf,
  issueForeignSvid,
  postRegistration,
  registrationOf,
} from "../../test/support/foreign.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { askFederation } from "../support/partner.ts";

const STRANGER = "spiffe://partner.test/ns/prod/sa/stranger";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P9",
  title:
    "with a good SVID of a federated trust domain, acts as itself and in the name of the workload that is registered",
  expected: "refused: only a SPIFFE ID that an owner registered is an agent here",
  weakening: "any-foreign-workload",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const owner = await world.owner();
    const partner = createForeignDomain();
    await askFederation(world, "", {
      trust_domain: "partner.test",
      endpoint: null,
      bundle: formatTrustBundle(partner.bundle),
    });
    const registered = await postRegistration(world.server, owner, registrationOf(owner));
    const worker = foreignInstanceOf(registered, issueForeignSvid(partner));
    const stolen = foreignInstanceOf(registered, issueForeignSvid(partner, STRANGER));
    return {
      worker,
      /** Its own SVID, the registered workload's names. */
      posing: stolen,
      /** Its own SVID and name; it has heard the agent id. */
      itself: { ...stolen, answer: { ...stolen.answer, spiffe_id: STRANGER } },
      verifier: await enrolVerifier(world.server, world.name("api")),
    };
  },
  control: async ({ server }, { worker, verifier }) => {
    const intent = visitIntent(worker, verifier);
    const decision = parseDecision(await askDecision(server, { caller: verifier, agent: worker, intent }));
    expectSame(decision.allow, true, "the registered workload is allowed what its owner signed");
  },
  attack: async ({ server }, { posing, itself, verifier }) => {
    for (const [claim, agent] of Object.entries({ "the registered name": posing, "its own name": itself })) {
      const intent = visitIntent(agent, verifier);
      expectRefusal(
        await askDecision(server, { caller: verifier, agent, intent }),
        UNPROVEN,
        `a decision under ${claim}`,
      );
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "foreign_agent_unknown" }, { atLeast: 1 });
    await ledger.expect({ kind: "renew", principal: STRANGER }, 0);
  },
});
