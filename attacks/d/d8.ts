/** D8: a leaf that plays authority. */
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { askDecision, intentOf, type TestInstance } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { forgeUnderLeaf } from "../support/forged.ts";
import { visit } from "../support/visits.ts";

const OUTCOME = { method: "POST", target: "/v1/outcomes", body: JSON.stringify({ outcome: "x" }) };

function chainOf({ answer }: TestInstance): readonly Uint8Array[] {
  return answer.svid_chain.map(parseBase64url);
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D8",
  title: "signs a certificate in another's name with its own leaf, and shows both",
  expected: "refused: a leaf is nobody's issuer",
  weakening: "any-issuer",
  prepare: async (world) => {
    await world.finance();
    const thief = await world.enrol(["read:transactions"]);
    const victim = await world.enrol(["read:transactions"]);
    const pkcs8 = thief.signer.privateKey.export({ type: "pkcs8", format: "der" });
    const names = [victim.answer.spiffe_id, "spiffe://acme.test/trustwarden/verifier/finance-api/inst-01K0"];
    const forged = await Promise.all(
      names.map((name) => forgeUnderLeaf(pkcs8, chainOf(thief), { uris: [name] })),
    );
    const authority = await forgeUnderLeaf(pkcs8, chainOf(thief), { uris: [names[0] ?? ""], isCa: true });
    return { thief, forged: [...forged, authority], from: world.source() };
  },
  control: async (world, { thief }) => {
    expectSame((await visit(world, { agent: thief })).status, 200, "the leaf is good for its own agent");
  },
  attack: async (world, { thief, forged, from }) => {
    const { url } = await world.finance();
    for (const { tls } of forged) {
      expectRefusal(
        await call(world.server.url, OUTCOME, { from, tls }),
        UNPROVEN,
        "a certificate under a leaf",
      );
      const answer = await call(url, { target: "/transactions" }, { tls });
      expectRefusal(answer, UNPROVEN, "a certificate under a leaf, at a service");
    }
    const [first] = forged;
    const masked = {
      ...thief,
      answer: {
        ...thief.answer,
        svid_chain: (first?.chain ?? []).map((der) => Buffer.from(der).toString("base64url")),
      },
    };
    const intent = intentOf(thief, { aud: await world.serverId() });
    expectRefusal(
      await askDecision(world.server, { caller: thief, agent: masked, intent }),
      UNPROVEN,
      "the chain in a body",
    );
  },
  evidence: async (ledger) => {
    const refused = await ledger.expect({ kind: "refuse" }, 4);
    const codes = new Set(refused.flatMap(({ reasons }) => reasons));
    expectSame(
      [...codes].filter((code) => code !== "svid_untrusted" && code !== "svid_malformed"),
      [],
      "other reasons",
    );
  },
});
