/** P26: identity assertion grants that are shown again, made for others, widened, forged, or given back to their giver. */

import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawAnswer } from "../../test/support/http.ts";
import {
  type GrantClaims,
  ID_JAG_TYPE,
  type IdentityProvider,
  JWT_BEARER,
  startIdentityProvider,
} from "../../test/support/identity-provider.ts";
import { claimsOf, JWT, jwtOf, postForm, TOKEN_EXCHANGE } from "../../test/support/oauth.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectOAuthError } from "../support/oauth.ts";
import type { World } from "../support/world.ts";

const ISSUER = "https://acme.test/oauth";
const RESOURCE = "https://reports.acme.test";
const ELSEWHERE = "https://chat.test";

interface Scene {
  readonly idp: IdentityProvider;
  readonly agent: TestInstance;
  readonly thief: TestInstance;
}

/** One for the honest and the weakened server; it keeps no process alive. */
let started: Promise<IdentityProvider> | undefined;
function provider(): Promise<IdentityProvider> {
  started ??= startIdentityProvider();
  return started;
}

function grantFor({ idp: from, agent }: Scene, changes: GrantClaims = {}): Promise<string> {
  const basics = { sub: "alice", aud: ISSUER, client_id: agent.answer.spiffe_id, resource: RESOURCE };
  return from.grant({ ...basics, scope: "read:reports:2026", ...changes });
}

function show(world: World, by: TestInstance, form: Readonly<Record<string, string>>): Promise<RawAnswer> {
  const basics = { grant_type: JWT_BEARER, client_id: by.answer.spiffe_id, resource: RESOURCE };
  return postForm(world.server, "/oauth/token", { form: { ...basics, ...form }, tls: by.tls });
}

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "P26",
  title:
    "shows a grant twice, for another audience, client, resource and user, forged, and asks for more than it says",
  expected: "each refused; a user's word never goes beyond the agent's scope, nor to another owner's agents",
  weakening: "grants-of-anybody",
  world: {
    configure: async () => {
      const { issuer, keysUrl } = await provider();
      const keys = { jwks: { url: keysUrl, allowPrivate: true } };
      const audience = { issuer: ELSEWHERE, resources: [ELSEWHERE], scopes: { all: ["read:everything"] } };
      return {
        oauth: {
          grantIssuers: [{ issuer, keys, owners: { alice: "alice", bob: "bob" } }],
          grantAudiences: [audience],
        },
      };
    },
  },
  prepare: async (world) => ({
    idp: await provider(),
    agent: await world.enrol(["read:reports"]),
    thief: await world.enrol(["read:reports"]),
  }),
  control: async (world, scene) => {
    const answer = await show(world, scene.agent, { assertion: await grantFor(scene) });
    expectSame([answer.status, jsonOf(answer).scope], [200, "read:reports:2026"], "an honest grant");
    expectSame(
      claimsOf(String(jsonOf(answer).access_token)).sub,
      scene.agent.answer.spiffe_id,
      "acts as itself",
    );
  },
  attack: async (world, scene) => {
    const { agent, thief } = scene;
    const used = await grantFor(scene);
    expectSame((await show(world, agent, { assertion: used })).status, 200, "the victim uses its grant");
    expectOAuthError(await show(world, agent, { assertion: used }), "invalid_grant", "a grant that was used");
    expectOAuthError(
      await show(world, thief, { assertion: await grantFor(scene) }),
      "invalid_grant",
      "another client's",
    );
    const bent: Readonly<Record<string, GrantClaims>> = {
      "another server's": { aud: ELSEWHERE },
      "another resource's": { resource: `${RESOURCE}/all` },
      "another owner's user": { sub: "bob" },
      "an unknown user": { sub: "mallory" },
      "our own issuer": { iss: ISSUER },
      "no scope": { scope: undefined },
      "an hour and more": { exp: Math.floor(Date.now() / 1000) + 7200 },
    };
    for (const [what, changes] of Object.entries(bent)) {
      const answer = await show(world, agent, { assertion: await grantFor(scene, changes) });
      expectOAuthError(answer, "invalid_grant", what);
    }
    const wide = await show(world, agent, { assertion: await grantFor(scene), scope: "read:reports" });
    expectOAuthError(wide, "invalid_scope", "more than the grant says");
    const human = await show(world, agent, { assertion: await grantFor(scene, { scope: "delete:reports" }) });
    expectOAuthError(human, "invalid_scope", "more than the agent has, by the user's word");
    const exchange = {
      ...{ grant_type: TOKEN_EXCHANGE, requested_token_type: ID_JAG_TYPE, audience: ELSEWHERE, scope: "all" },
      ...{ subject_token: await jwtOf(world.server, agent, agent.answer.spiffe_id), subject_token_type: JWT },
    };
    const given = await show(world, agent, { ...exchange, resource: ELSEWHERE });
    expectOAuthError(given, "invalid_scope", "a grant for what no link of the agent's chain covers");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "assertion_replayed" }, 1);
    await ledger.expect({ kind: "refuse", reason: "assertion_refused" }, 8);
    await ledger.expect({ kind: "refuse", reason: "scope_not_subset" }, 3);
    await ledger.expect({ kind: "token" }, 1);
  },
});
