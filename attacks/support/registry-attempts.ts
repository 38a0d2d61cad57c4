/** Calls of the routes about nodes, entries, federation and the authority: each with the one event that it must leave. */
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { TestOwner } from "../../test/support/actors.ts";
import {
  accept,
  askToBeClaimed,
  claimTicket,
  collect,
  postClaim,
  wishOf,
} from "../../test/support/claims.ts";
import { createForeignDomain, postRegistration, registrationOf } from "../../test/support/foreign.ts";
import { type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import {
  askInstance,
  askRenewal,
  createEntry,
  deliver,
  entryOf,
  joinNode,
  joinToken,
  post,
  postEntry,
  postEvidence,
  postNode,
  removeEntry,
} from "../../test/support/nodes.ts";
import type { World } from "./world.ts";

/** Of nothing that ever happened. */
const NO_EVENT = "01900000-0000-7000-8000-000000000000";

/** One call of a route, and the one event that it must leave. */
export interface Attempt {
  readonly route: string;
  readonly what: string;
  readonly status: number;
  /** Empty for none. */
  readonly kind: string;
  ask(): Promise<RawAnswer>;
}

/** Hosts and entries, as they come and go. */
export async function admissionAttempts(world: World, owner: TestOwner): Promise<readonly Attempt[]> {
  const { server } = world;
  const nodes = [world.name("host")];
  const envelope = entryOf(owner, { name: world.name("other"), nodes });
  const { entryId } = await createEntry(server, owner, { name: world.name("gone"), nodes });
  const evidence = { type: "join_token", token: await joinToken(server, world.name("host")) };
  const ticket = JSON.stringify({ name: world.name("host") });
  const asked = { method: "POST", target: "/v1/join-tokens", body: ticket };
  const join = () => postNode(server, evidence);
  const register = () => postEntry(server, owner, envelope);
  const remove = () => removeEntry(server, owner, entryId);
  const token = () => sendAdmin(server.adminSocket, asked);
  return [
    { route: "/v1/join-tokens", what: "a token", status: 200, kind: "ticket", ask: token },
    { route: "/v1/nodes", what: "a host", status: 200, kind: "node", ask: join },
    { route: "/v1/nodes", what: "a used token", status: 401, kind: "refuse", ask: join },
    { route: "/v1/entries", what: "an entry", status: 200, kind: "entry", ask: register },
    { route: "/v1/entries", what: "the same entry", status: 409, kind: "refuse", ask: register },
    { route: "/v1/entries/{id}/removal", what: "an end", status: 200, kind: "entry", ask: remove },
  ];
}

/** Agents that ask to be claimed, and come for what an owner gave. */
export async function claimAttempts(world: World, owner: TestOwner): Promise<readonly Attempt[]> {
  const { server } = world;
  const claimed = await askToBeClaimed(server, wishOf(world.name("claimed")));
  await accept(server, owner, { code: claimed.code, ticket: claimTicket(owner, claimed) });
  const asking = { signer: createTestSigner(), bits: 0 };
  const ask = (bits: number) => () => postClaim(server, wishOf(world.name("found")), { ...asking, bits });
  const take = (signer: TestOwner["signer"]) => () => collect(server, claimed, signer);
  return [
    { route: "/v1/claims", what: "a wish", status: 200, kind: "ticket", ask: ask(16) },
    { route: "/v1/claims", what: "a wish without work", status: 429, kind: "refuse", ask: ask(0) },
    {
      route: "/v1/claims/collection",
      what: "a ticket",
      status: 200,
      kind: "read",
      ask: take(claimed.signer),
    },
    {
      route: "/v1/claims/collection",
      what: "another's ticket",
      status: 404,
      kind: "refuse",
      ask: take(asking.signer),
    },
  ];
}

/** What nodes and evidence get. */
export async function issuanceAttempts(world: World, owner: TestOwner): Promise<readonly Attempt[]> {
  const { server } = world;
  const host = world.name("host");
  const node = await joinNode(server, host);
  const entry = await createEntry(server, owner, { name: world.name("crawler"), nodes: [host] });
  const other = await createEntry(server, owner, { name: world.name("foreign"), nodes: ["elsewhere"] });
  const [instance, ended] = [await deliver(server, node, entry), await deliver(server, node, entry)];
  const evidence = { type: "github", token: "e30.e30.e30" };
  const identity = { instance_id: instance.answer.instance_id, identity: "instance" };
  const token = { ...identity, audiences: ["https://bank.test"] };
  const speak = () => post(server, node, "/v1/node/jwt-svids", token);
  // WIT-SVIDs are issued where a setting says so, and here it does not.
  const prove = () => post(server, node, "/v1/node/wit-svids", { ...identity, spki: "AA", possession: "x" });
  const end = () => post(server, node, "/v1/node/endings", { instance_id: ended.answer.instance_id });
  const renew = () => askRenewal(server, node, instance);
  const issue = () => askInstance(server, node, entry);
  const take = () => askInstance(server, node, other);
  const attest = () => postEvidence(server, evidence);
  return [
    { route: "/v1/node/instances", what: "an instance", status: 200, kind: "issue", ask: issue },
    { route: "/v1/node/instances", what: "another host's entry", status: 403, kind: "refuse", ask: take },
    { route: "/v1/node/renewals", what: "a renewal", status: 200, kind: "renew", ask: renew },
    { route: "/v1/node/jwt-svids", what: "a token", status: 200, kind: "jwt", ask: speak },
    { route: "/v1/node/wit-svids", what: "a token", status: 404, kind: "refuse", ask: prove },
    { route: "/v1/node/endings", what: "an end", status: 200, kind: "revoke", ask: end },
    { route: "/v1/attested-instances", what: "evidence not taken", status: 401, kind: "refuse", ask: attest },
  ];
}

/** Other trust domains, their workloads, and our own authority. */
export function operatorsAttempts(world: World, owner: TestOwner): readonly Attempt[] {
  const { server } = world;
  const name = "partner.test";
  const domain = createForeignDomain(name);
  const next = { ...domain.bundle, sequence: domain.bundle.sequence + 1, refreshHintSeconds: 600 };
  const ask = (target: string, body: object) => () =>
    sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  const federation = { trust_domain: name, endpoint: null, bundle: formatTrustBundle(domain.bundle) };
  const registration = registrationOf(owner, { name: world.name("worker") });
  const of = (rest: string) => `/v1/federations/${name}${rest}`;
  const path = (rest: string) => `/v1/federations/{trust_domain}${rest}`;
  return [
    {
      route: "/v1/federations",
      what: "a relationship",
      status: 200,
      kind: "federation",
      ask: ask("/v1/federations", federation),
    },
    {
      route: "/v1/federations",
      what: "the same",
      status: 409,
      kind: "refuse",
      ask: ask("/v1/federations", federation),
    },
    {
      route: path("/bundle"),
      what: "a bundle",
      status: 200,
      kind: "federation",
      ask: ask(of("/bundle"), { bundle: formatTrustBundle(next) }),
    },
    {
      route: path("/refresh"),
      what: "no endpoint",
      status: 400,
      kind: "refuse",
      ask: ask(of("/refresh"), {}),
    },
    {
      route: "/v1/foreign-agents",
      what: "a workload",
      status: 200,
      kind: "issue",
      ask: () => postRegistration(server, owner, registration),
    },
    {
      route: path("/removal"),
      what: "an end",
      status: 200,
      kind: "federation",
      ask: ask(of("/removal"), {}),
    },
    {
      route: "/v1/authority/steps",
      what: "a step that cannot be",
      status: 409,
      kind: "refuse",
      ask: ask("/v1/authority/steps", { step: "activate", kind: "jwt" }),
    },
  ];
}

/** Secrets of the broker, as they come and go. */
export function secretAttempts(world: World): readonly Attempt[] {
  const name = world.name("key");
  const ask = (target: string, body: object) => () =>
    sendAdmin(world.server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  const of = (rest: string, body: object, status = 200): Attempt => ({
    route: `/v1/secrets/{name}/${rest}`,
    what: rest,
    status,
    kind: status === 200 ? "secret" : "refuse",
    ask: ask(`/v1/secrets/${name}/${rest}`, body),
  });
  const injection = { as: "header", name: "x-api-key", template: "{secret}" };
  const put = ask("/v1/secrets", { name, value: "sk-covered-1", injection });
  return [
    { route: "/v1/secrets", what: "a secret", status: 200, kind: "secret", ask: put },
    { route: "/v1/secrets", what: "the same", status: 409, kind: "refuse", ask: put },
    of("versions", { value: "sk-covered-2", grace_seconds: 60 }),
    of("rollback", {}),
    of("scope", { agents: ["agent:team/**"] }),
    of("disabling", {}),
    of("enabling", {}),
    {
      route: "/v1/secret-keys/rotation",
      what: "the next key",
      status: 200,
      kind: "secret",
      ask: ask("/v1/secret-keys/rotation", { begin: true }),
    },
    of("removal", {}),
    of("removal", {}, 404),
    {
      route: "/v1/payloads/{event_id}/erasure",
      what: "what is not kept",
      status: 404,
      kind: "refuse",
      ask: ask(`/v1/payloads/${NO_EVENT}/erasure`, { reason: "asked for" }),
    },
  ];
}
