/** I11: one event for each call. */
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import {
  askDecision,
  nonceOf,
  outcomeOf,
  ownerRequest,
  parseDecision,
  signedRequest,
  ticketOf,
  visitIntent,
} from "../../test/support/actors.ts";
import { type ClientTls, type RawAnswer, type RawRequest, sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { CONSOLE } from "../../test/support/people.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { openEvidence, readLedgerSize } from "../support/evidence.ts";
import { settingAttempts, strangersAttempts } from "../support/gateway-attempts.ts";
import { holdLease } from "../support/lease-client.ts";
import { readAsOperator } from "../support/operator.ts";
import { livesAttempts, peopleAttempts, turnAttempts } from "../support/people-attempts.ts";
import {
  type Attempt,
  admissionAttempts,
  claimAttempts,
  issuanceAttempts,
  operatorsAttempts,
  secretAttempts,
} from "../support/registry-attempts.ts";
import { streamAttempts } from "../support/stream-attempts.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const post = (target: string, body: object): RawRequest => ({
  method: "POST",
  target,
  body: JSON.stringify(body),
});

/** Everybody who calls, and what they bring. */
async function assemble(world: World) {
  const owner = await world.owner();
  const agent = await world.enrol(["read:transactions", "write:reports"]);
  const victim = await world.enrol(["read:transactions", "write:reports"]);
  const child = await world.spawn(agent, ["read:transactions"]);
  const verifier = await world.enrolVerifier();
  return { owner, agent, victim, child, verifier, aud: await world.serverId(), world };
}

type Cast = Awaited<ReturnType<typeof assemble>>;

function send({ world }: Cast, request: RawRequest, tls?: ClientTls): () => Promise<RawAnswer> {
  return () => call(world.server.url, request, { tls });
}

/** An agent's request, signed now and sent when its turn comes. */
function asAgent({ world, agent, aud }: Cast, action: string, request: RawRequest): () => Promise<RawAnswer> {
  const signed = signedRequest(agent, { ...request, action, aud });
  return () => call(world.server.url, signed, { tls: agent.tls });
}

function asOwner({ world, owner, aud }: Cast, request: RawRequest): () => Promise<RawAnswer> {
  return () => call(world.server.url, ownerRequest(owner, { ...request, aud }));
}

async function renewalOf({ world, agent }: Cast): Promise<object> {
  const signer = createTestSigner();
  const nonce = await nonceOf(world.server);
  const possession = issuePossession({ nonce, enrolmentSha256: agent.svidSha256 }, signer);
  return { possession, spki: encodeBase64url(encodeSpki(signer.publicKey)) };
}

/** The calls by which identities come into being and stay. */
async function identityAttempts(cast: Cast): Promise<readonly Attempt[]> {
  const { world, owner, agent, verifier } = cast;
  const ticket = ticketOf(owner, { name: world.name("covered") });
  const enrol = () => enrolWith(world, ticket, { signer: createTestSigner() });
  const renewal = post("/v1/svids/renew", await renewalOf(cast));
  const token = post("/v1/jwt-svids", { audience: "x" });
  const proof = post("/v1/wit-svids", { spki: "AA", possession: "x" });
  const renew = asAgent(cast, "renew:svid", renewal);
  const again = asAgent(cast, "renew:svid", renewal);
  return [
    { route: "/v1/instances", what: "an enrolment", status: 200, kind: "issue", ask: enrol },
    { route: "/v1/instances", what: "a used ticket", status: 401, kind: "refuse", ask: enrol },
    { route: "/v1/svids/renew", what: "a renewal", status: 200, kind: "renew", ask: renew },
    { route: "/v1/svids/renew", what: "a used proof", status: 401, kind: "refuse", ask: again },
    {
      route: "/v1/svids/renew",
      what: "no intent",
      status: 401,
      kind: "refuse",
      ask: send(cast, renewal, agent.tls),
    },
    {
      route: "/v1/jwt-svids",
      what: "a token",
      status: 200,
      kind: "jwt",
      ask: asAgent(cast, "issue:jwt-svid", token),
    },
    // Refused for what is configured, before anything is read of them.
    {
      route: "/v1/wit-svids",
      what: "a token that nobody issues here",
      status: 404,
      kind: "refuse",
      ask: asAgent(cast, "issue:jwt-svid", proof),
    },
    { route: "/v1/wit-svids", what: "a stranger", status: 401, kind: "refuse", ask: send(cast, proof) },
    { route: "/v1/jwt-svids", what: "a stranger", status: 401, kind: "refuse", ask: send(cast, token) },
    {
      route: "/v1/jwt-svids",
      what: "a service",
      status: 401,
      kind: "refuse",
      ask: send(cast, token, verifier.tls),
    },
  ];
}

/** The calls of the data plane. */
async function actionAttempts(cast: Cast): Promise<readonly Attempt[]> {
  const { world, agent, verifier } = cast;
  const decide = (overrides: object = {}) =>
    askDecision(world.server, { caller: verifier, agent, intent: visitIntent(agent, verifier, overrides) });
  const { receipt } = parseDecision(await decide());
  const report = (status: string) =>
    post("/v1/outcomes", { outcome: outcomeOf(verifier, receipt, { status }) });
  const deny = () => decide({ action: "delete:transactions" });
  const nothing = post("/v1/decisions", { intent: "x", svid_chain: ["x"] });
  const lie = send(cast, report("failure"), verifier.tls);
  return [
    { route: "/v1/decisions", what: "an allow", status: 200, kind: "action", ask: () => decide() },
    { route: "/v1/decisions", what: "a deny", status: 200, kind: "action", ask: deny },
    { route: "/v1/decisions", what: "a stranger", status: 401, kind: "refuse", ask: send(cast, nothing) },
    {
      route: "/v1/outcomes",
      what: "an outcome",
      status: 200,
      kind: "action",
      ask: send(cast, report("success"), verifier.tls),
    },
    { route: "/v1/outcomes", what: "another outcome", status: 409, kind: "refuse", ask: lie },
    {
      route: "/v1/outcomes",
      what: "a stranger",
      status: 401,
      kind: "refuse",
      ask: send(cast, report("success")),
    },
  ];
}

/** The calls that stop and narrow. */
function stoppingAttempts(cast: Cast): readonly Attempt[] {
  const [victim, child] = [cast.victim, cast.child].map(({ answer }) => answer.instance_id);
  const revoke = (id: string | undefined) => post("/v1/revocations", { target: { kind: "instance", id } });
  const narrow = (scope: readonly string[]) => post("/v1/narrowings", { instance_id: victim, scope });
  const [wider, narrower] = [narrow(["delete:transactions"]), narrow(["read:transactions"])];
  const foreign = asAgent(cast, "revoke:instance", revoke(victim));
  const own = asAgent(cast, "revoke:instance", revoke(child));
  return [
    {
      route: "/v1/narrowings",
      what: "a narrowing",
      status: 200,
      kind: "narrow",
      ask: asOwner(cast, narrower),
    },
    { route: "/v1/narrowings", what: "a widening", status: 403, kind: "refuse", ask: asOwner(cast, wider) },
    { route: "/v1/narrowings", what: "a stranger", status: 401, kind: "refuse", ask: send(cast, narrower) },
    { route: "/v1/revocations", what: "another's agent", status: 403, kind: "refuse", ask: foreign },
    { route: "/v1/revocations", what: "a child of one's own", status: 200, kind: "revoke", ask: own },
    {
      route: "/v1/revocations",
      what: "a stranger",
      status: 401,
      kind: "refuse",
      ask: send(cast, revoke(victim)),
    },
  ];
}

async function listAttempts(world: World): Promise<readonly Attempt[]> {
  const cast = await assemble(world);
  return [
    ...(await identityAttempts(cast)),
    ...(await actionAttempts(cast)),
    ...stoppingAttempts(cast),
    ...operatorAttempts(world),
    // Early, so that both shards take events of the others.
    ...turnAttempts(world),
    ...(await peopleAttempts(world)),
    ...(await livesAttempts(world)),
    ...(await admissionAttempts(world, cast.owner)),
    ...(await issuanceAttempts(world, cast.owner)),
    ...(await claimAttempts(world, cast.owner)),
    ...operatorsAttempts(world, cast.owner),
    ...secretAttempts(world),
    ...settingAttempts(world, cast.agent.answer.agent_id ?? ""),
    ...strangersAttempts(world),
    ...(await streamAttempts(world, cast.verifier)),
    leaseAttempt(world, cast.verifier),
  ];
}

/** The calls of an operator, and of somebody on its socket who claims to be an owner. */
function operatorAttempts(world: World): readonly Attempt[] {
  const { adminSocket } = world.server;
  const name = world.name("owner");
  const spki = encodeBase64url(encodeSpki(createTestSigner().publicKey));
  const admin = (request: RawRequest) => () => sendAdmin(adminSocket, request);
  const ticket = post("/v1/verifier-tickets", { name: world.name("api"), ttl_seconds: 3600 });
  const claimed = { ...ticket, headers: { "trustwarden-owner": "e30" } };
  return [
    {
      route: "/v1/owners",
      what: "an owner",
      status: 200,
      kind: "owner",
      ask: admin(post("/v1/owners", { name, spki })),
    },
    {
      route: "/v1/owners",
      what: "the same owner",
      status: 409,
      kind: "refuse",
      ask: admin(post("/v1/owners", { name, spki })),
    },
    { route: "/v1/verifier-tickets", what: "a ticket", status: 200, kind: "ticket", ask: admin(ticket) },
    {
      route: "/v1/verifier-tickets",
      what: "an owner's ticket for a service",
      status: 400,
      kind: "",
      ask: admin(claimed),
    },
  ];
}

function leaseAttempt(world: World, verifier: Parameters<typeof holdLease>[1]): Attempt {
  const ask = async (): Promise<RawAnswer> => {
    const lease = await holdLease(world.server.stopUrl, verifier);
    if (typeof lease !== "number") lease.end();
    const status = typeof lease === "number" ? lease : 101;
    return { status, headers: {}, text: "", bytes: Buffer.alloc(0), localPort: undefined };
  };
  return { route: "/v1/lease", what: "a lease", status: 101, kind: "admin", ask };
}

/** Routes of the API document that change something. */
async function mutatingRoutes(world: World): Promise<readonly string[]> {
  const { paths } = await readAsOperator(world.server.adminSocket, "/v1/openapi.json");
  const mutating = Object.entries(paths ?? {}).filter(([, operations]) =>
    Object.keys(operations ?? {}).some((method) => method !== "get"),
  );
  // Envoy's listener has a protocol of its own, and is off here: `test/` and `./dev interop` call it.
  const spoken = mutating.map(([path]) => path).filter((path) => !path.startsWith("/envoy."));
  return [...spoken, "/v1/lease"].sort();
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I11",
  title: "calls every route that changes something, rightly and wrongly",
  expected: "each call leaves exactly one event, success and failure alike; what does not parse leaves none",
  weakening: "refusals-unrecorded",
  world: { configure: () => CONSOLE },
  mayChange: ["owners", "agents", "liveInstances", "epoch", "registry"],
  prepare: async (world) => ({ attempts: await listAttempts(world) }),
  control: async (world, { attempts }) => {
    const covered = [...new Set(attempts.map(({ route }) => route))].sort();
    expectSame(covered, await mutatingRoutes(world), "the routes that are called are all there are");
  },
  attack: async (world, { attempts }) => {
    const { adminSocket } = world.server;
    for (const { route, what, status, kind, ask } of attempts) {
      const size = await readLedgerSize(adminSocket);
      const answer = await ask();
      expectSame(answer.status, status, `the answer of ${route} to ${what}: ${answer.text.slice(0, 160)}`);
      const events = await openEvidence(adminSocket, size).events();
      expectSame(
        events.map((event) => event.kind),
        kind === "" ? [] : [kind],
        `the events of ${route} for ${what}`,
      );
    }
  },
  evidence: async (ledger, { attempts }) => {
    const events = await ledger.events();
    const wanted = attempts.filter(({ kind }) => kind !== "").length;
    expect(events.length === wanted, `${wanted} calls leave ${wanted} events, and not ${events.length}`);
  },
});
