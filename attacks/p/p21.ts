/** P21: authority that grows on the way: re-widening through exchange, a confused actor, a stolen assertion. */

import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawAnswer } from "../../test/support/http.ts";
import {
  ACCESS_TOKEN,
  createTestSigner,
  JWT,
  JWT_SPIFFE,
  jwtOf,
  postForm,
  proofFor,
  RESOURCE,
  TOKEN_EXCHANGE,
  tokenOf,
} from "../../test/support/oauth.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectOAuthError } from "../support/oauth.ts";
import type { World } from "../support/world.ts";

const ISSUER = "https://acme.test/oauth";

interface Parties {
  readonly boss: TestInstance;
  readonly clerk: TestInstance;
  readonly other: TestInstance;
}

function exchange(
  world: World,
  by: TestInstance,
  form: Readonly<Record<string, string>>,
): Promise<RawAnswer> {
  const basics = {
    grant_type: TOKEN_EXCHANGE,
    client_id: by.answer.spiffe_id,
    subject_token_type: ACCESS_TOKEN,
  };
  return postForm(world.server, "/oauth/token", {
    form: { ...basics, resource: RESOURCE, ...form },
    tls: by.tls,
  });
}

const forClerk = (world: World, { boss, clerk }: Parties, scope: string) =>
  tokenOf(world.server, boss, { resource: clerk.answer.spiffe_id, scope });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P21",
  title:
    "widens authority by token exchange, pairs a good subject with an unrelated actor, copies an assertion",
  expected:
    "a scope stays within token, subject and actor; the actor is the client; an assertion has one key",
  weakening: "exchange-widens",
  world: {},
  prepare: async (world): Promise<Parties> => ({
    boss: await world.enrol(["read:items", "write:items"]),
    clerk: await world.enrol(["read:items", "read:mail"]),
    other: await world.enrol(["read:items"]),
  }),
  control: async (world, parties) => {
    const subject_token = await forClerk(world, parties, "read:items");
    const answer = await exchange(world, parties.clerk, { subject_token });
    expectSame([answer.status, jsonOf(answer).scope], [200, "read:items"], "an exchange within both");
  },
  attack: async (world, parties) => {
    const { boss, clerk, other } = parties;
    const narrow = await forClerk(world, parties, "read:items:1");
    for (const scope of ["read:items", "read:mail", "write:items", "read:items:1 read:mail"]) {
      const answer = await exchange(world, clerk, { subject_token: narrow, scope });
      expectOAuthError(answer, "invalid_scope", `an exchange for ${scope}`);
    }
    const actor_token = await jwtOf(world.server, boss, ISSUER);
    const confused = await exchange(world, clerk, {
      subject_token: narrow,
      actor_token,
      actor_token_type: JWT,
    });
    expectOAuthError(confused, "invalid_request", "an exchange with somebody else's actor token");
    expectOAuthError(
      await exchange(world, other, { subject_token: narrow }),
      "invalid_request",
      "a third party",
    );
    const client_assertion = await jwtOf(world.server, boss, ISSUER);
    const form = {
      grant_type: "client_credentials",
      resource: RESOURCE,
      client_assertion_type: JWT_SPIFFE,
      client_assertion,
    };
    const assert = async (key: ReturnType<typeof createTestSigner>) =>
      postForm(world.server, "/oauth/token", { form, headers: await proofFor(world.server, key) });
    expectSame((await assert(createTestSigner())).status, 200, "the assertion by its holder");
    expectOAuthError(await assert(createTestSigner()), "invalid_client", "the assertion by who copied it");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "scope_not_subset" }, 4);
    await ledger.expect({ kind: "refuse", reason: "subject_token_refused" }, 2);
    await ledger.expect({ kind: "refuse", reason: "client_assertion_replayed" }, 1);
  },
});
