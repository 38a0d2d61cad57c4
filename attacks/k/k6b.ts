/** K6: an identity provider's word counts for its subject; the address in it, verified or not, is nobody's proof. */
import { HostileProvider } from "../../test/support/hostile-provider.ts";
import { jsonOf, type RawAnswer } from "../../test/support/http.ts";
import { beginAt } from "../../test/support/oidc-provider.ts";
import { createLink, createPerson, sendConsole } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectCode, posting } from "../support/people-cast.ts";
import type { World } from "../support/world.ts";

/** One for the honest and the weakened server; it keeps no process alive. */
let provider: Promise<HostileProvider> | undefined;

/** Somebody signs in there, with what the provider says of it, and posts what came back. */
async function signIn({ server }: World, claims: object, link?: string): Promise<RawAnswer> {
  const { nonce, verifier } = await beginAt(server);
  const code = JSON.stringify({ nonce, ...claims });
  const word = { provider: "acme", code, code_verifier: verifier, nonce };
  const request =
    link === undefined
      ? posting("/v1/session/by-provider", word)
      : posting("/v1/people/by-provider", { ...word, link, name: "Grace" });
  return sendConsole(server, request);
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K6b",
  title: "signs in at an identity provider with the address of an admin",
  expected: "refused: whom the provider knows is somebody here by its subject alone",
  weakening: "subjects-of-anybody",
  world: {
    configure: async () => {
      provider ??= HostileProvider.open();
      const { issuer } = await provider;
      const discovery = { url: `${issuer}/.well-known/openid-configuration`, allowPrivate: true };
      const acme = { name: "acme", label: "Acme", issuer, clientId: "trustwarden", discovery };
      return { console: { port: 0, identityProviders: [acme] } };
    },
  },
  prepare: async (world) => {
    await createPerson(world.server, {}, { address: "ada@acme.test" });
    const link = await createLink(world.server, { roles: ["admin"], address: "grace@acme.test" });
    const came = await signIn(world, { sub: "grace" }, link);
    return { personId: String(jsonOf(came).person_id) };
  },
  control: async (world, { personId }) => {
    const answer = await signIn(world, { sub: "grace", email: "grace@acme.test", email_verified: true });
    expectSame([answer.status, jsonOf(answer).person_id], [200, personId], "who was invited signs in");
  },
  attack: async (world) => {
    for (const email of ["ada@acme.test", "grace@acme.test"]) {
      const answer = await signIn(world, { sub: "mallory", email, email_verified: true });
      expectCode(answer, [401, "principal_refused"], `signing in as ${email}`);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "identity_unknown" }, 2);
    await ledger.expect({ kind: "session" }, 0);
  },
});
