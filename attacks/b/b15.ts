/** B15: lifetimes. */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signGrant, signTicket, signTicketText, ticketPayload } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const TEN_YEARS = 315_360_000;
const PARENT_SECONDS = 900;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B15",
  title:
    'asks for lifetimes of 0, -1, NaN, 1e309, half a second, "1h; drop", ten years, and longer than the parent\'s',
  expected: "refused, or cut to the parent's remaining life, to the second",
  weakening: "any-lifetime",
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => ({
    owner: await world.owner(),
    parent: await world.enrol(["read:transactions", "write:reports"], { ttlSeconds: PARENT_SECONDS }),
    from: world.source(),
  }),
  control: async (world, { owner }) => {
    const ticket = signTicket(owner, { name: world.name("honest"), ttl_seconds: TEN_YEARS / 10 });
    const answer = await enrolWith(world, ticket, { signer: createTestSigner() });
    expectSame(answer.status, 200, "a year is a lifetime");
  },
  attack: async (world, { owner, parent, from }) => {
    const signer = createTestSigner();
    const malformed = { status: 400, code: "ttl_malformed" };
    for (const ttl of [0, -1, 0.5, 1e15, TEN_YEARS, "3600", "1h; drop", null, [3600], true]) {
      const ticket = signTicket(owner, { name: world.name("ttl"), ttl_seconds: ttl });
      const answer = await enrolWith(world, ticket, { signer, from });
      const isRefused = answer.status === 400 || answer.status === 401;
      expect(isRefused, `a lifetime of ${JSON.stringify(ttl)} is refused, and not ${answer.status}`);
      if (typeof ttl === "number" && Number.isSafeInteger(ttl) && ttl >= 0)
        expectRefusal(answer, malformed, `the lifetime ${ttl}`);
    }
    for (const text of ["NaN", "1e309", "Infinity", "0x10", "3600.0", "3.6e3"]) {
      const payload = formatCanonicalJson(ticketPayload(owner, { name: world.name("ttl") }));
      const ticket = signTicketText(owner, payload.replace('"ttl_seconds":3600', `"ttl_seconds":${text}`));
      const { status } = await enrolWith(world, ticket, { signer, from });
      expect(status === 400 || status === 401, `a lifetime written ${text} is refused, and not ${status}`);
    }
    const child = createTestSigner();
    const grant = signGrant(parent, child, { name: world.name("long"), ttl_seconds: PARENT_SECONDS * 100 });
    const identity = identityAnswer.parse(
      JSON.parse((await enrolWith(world, grant, { signer: child, from })).text),
    );
    const parentEnd = parent.answer.instance_expires_at;
    expectSame([identity.instance_expires_at, identity.ttl_shortened], [parentEnd, true], "the child's end");
    const [leaf, issuer] = identity.svid_chain.map((text) => parseCertificate(parseBase64url(text)));
    const ends = { leaf: leaf?.notAfter ?? 0, issuer: issuer?.notAfter ?? 0 };
    expectSame(ends.leaf, identity.svid_expires_at, "the certificate's end, to the second");
    expect(ends.leaf <= parentEnd && ends.leaf <= ends.issuer, "no certificate outlives parent or authority");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue", principal: /^enrollee:/ }, 1);
  },
});
