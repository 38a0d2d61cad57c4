/**
 * The thief: copies the whole data directory of a running server and tries everything in it.
 *
 *   node thief.ts <plan.json>
 *
 * Replays each string as a bearer token, intent, owner request and ticket against every guarded route of the OpenAPI
 * document and of the finance API; presents every certificate with every key; forges identities under stolen and made
 * up authorities; enrols with every ticket and grant of the ledger. Prints one JSON report; what it got is for the
 * stage manager to judge.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { copyLiveDirectory } from "./copy-live-directory.ts";
import {
  createKey,
  type ForgedIdentity,
  forgeTicket,
  forgeWithOwnAuthority,
  forgeWithStolen,
  formatEnrolment,
  presentStolen,
} from "./thief-forge.ts";
import { type Attempt, Raid } from "./thief-http.ts";
import { forgeVisit, type Meaning } from "./thief-intent.ts";
import { findKeys, type KeyLoot } from "./thief-keys.ts";
import { type Loot, searchDirectory } from "./thief-loot.ts";
import {
  type Aim,
  formatBare,
  formatEachRole,
  formatEachRoute,
  formatEnrolments,
  type GuardedRoute,
  headerSized,
  readRoutes,
} from "./thief-replay.ts";

/** Enough forged identities to show that none works; each costs a handshake for every route. */
const MAX_FORGED = 24;
/** Tickets and grants tried for minting. */
const MAX_ENROLMENTS = 200;

/** What the stage manager tells the thief: addresses that anybody may know, and how long it has. */
interface Plan {
  readonly data_dir: string;
  readonly copy_dir: string;
  readonly openapi: string;
  readonly main: string;
  readonly stop: string;
  readonly finance: string;
  readonly trust_domain: string;
  readonly seconds: number;
}

const plan = readPlan(process.argv[2] ?? "");
copyLiveDirectory(plan.data_dir, plan.copy_dir);
const loot = searchDirectory(plan.copy_dir);
const keys = findKeys(loot);
const aim = aimWith(loot);
const routes = readRoutes(JSON.parse(readFileSync(plan.openapi, "utf8")), plan, aim);
const minting = await mint(loot, aim);
const forging = await impersonate(keys, routes);
const replay = await replayAll(loot, routes);
process.stdout.write(
  `${JSON.stringify({
    files: loot.files,
    strings: loot.strings.size,
    routes: routes.length,
    certificates: keys.certificates.length,
    private_keys: keys.privateKeys.length + keys.bareKeys.length,
    bare_values: keys.bareValues,
    replay,
    forging,
    minting,
  })}\n`,
);

/** Every string in every role, then every string against every route until the time is over. */
async function replayAll({ strings }: Loot, guarded: readonly GuardedRoute[]) {
  const raid = new Raid();
  const shortFirst = [...strings].sort((left, right) => left.length - right.length);
  const shown = headerSized(shortFirst);
  const eachRole = await raid.run(formatEachRole(shown, guarded));
  const enrolments = await raid.run(formatEnrolments(shortFirst, plan.main));
  const deadlineMs = Date.now() + plan.seconds * 1000;
  const eachRoute = await raid.run(formatEachRoute(shown, guarded), deadlineMs);
  raid.close();
  return {
    each_role: eachRole + enrolments,
    each_route: eachRoute,
    of_routes: shown.length * guarded.length,
    ...report(raid),
  };
}

/** Every certificate with every key, and forged identities of a server, a verifier and an agent. */
async function impersonate(
  { certificates, privateKeys, bareKeys }: KeyLoot,
  guarded: readonly GuardedRoute[],
) {
  const found = [...privateKeys, ...bareKeys];
  const victims = victimsOf(certificates.map((certificate) => certificate.subjectAltName ?? ""));
  const stolen = certificates.flatMap((certificate) =>
    [...found, createKey()].flatMap((key) => [
      presentStolen(certificate, key),
      ...victims.map((spiffeId) =>
        forgeWithStolen({ certificate, key }, { spiffeId, trustDomain: plan.trust_domain }),
      ),
    ]),
  );
  const forged = victims.map((spiffeId) => forgeWithOwnAuthority(spiffeId, plan.trust_domain));
  const identities = [...stolen, ...forged].filter((identity) => identity !== undefined).slice(0, MAX_FORGED);
  const results = [];
  const meanings = await readMeanings();
  for (const identity of identities) results.push(await tryIdentity(identity, guarded, meanings));
  return {
    pairs_tried: stolen.length,
    identities: identities.length,
    successes: results.flatMap((result) => result.successes),
    attempts: results.reduce((sum, result) => sum + result.attempts, 0),
  };
}

/** All routes with the TLS identity alone, as a verifier comes; then with intents, as an agent comes. */
async function tryIdentity(
  identity: ForgedIdentity,
  guarded: readonly GuardedRoute[],
  meanings: readonly Meaning[],
) {
  const raid = new Raid(identity.context);
  const attempts = await raid.run(formatBare(guarded));
  const visits = await raid.run(meanings.map((meaning) => forgeVisit(identity, meaning, aim.agent)));
  raid.close();
  return {
    attempts: attempts + visits,
    successes: raid.successes.map((success) => `${identity.label}: ${success}`),
  };
}

/** Two visits that are right in everything but the visitor: to the finance API, and to the ledger. */
async function readMeanings(): Promise<readonly Meaning[]> {
  const raid = new Raid();
  const at = (origin: string, target: string): Attempt => ({ origin, method: "GET", target, headers: {} });
  const service = JSON.parse((await raid.make(at(plan.finance, "/.well-known/trustwarden-routes"))).text);
  const server = JSON.parse((await raid.make(get("/.well-known/trustwarden"))).text);
  raid.close();
  return [
    {
      origin: plan.finance,
      target: "/transactions",
      action: "read:transactions",
      resource: "sqlite://finance-db/transactions",
      audience: String(service.verifier),
    },
    {
      origin: plan.main,
      target: "/v1/events",
      action: "read:ledger",
      resource: `trustwarden://${plan.trust_domain}/v1/events`,
      audience: String(server.server_id),
    },
  ];
}

/** Enrols a key of its own with every ticket and grant found, and with tickets that it signs itself. */
async function mint({ strings }: Loot, { owner }: Aim) {
  const found = [...strings].filter(isEnrolment).slice(0, MAX_ENROLMENTS);
  const raid = new Raid();
  const nonces = new Raid();
  for (const enrolment of [...found, forgeTicket(owner, plan.trust_domain)]) {
    const { text } = await nonces.make(get("/v1/nonce"));
    const nonce: unknown = JSON.parse(text).nonce;
    await raid.make({
      origin: plan.main,
      method: "POST",
      target: "/v1/instances",
      headers: { "content-type": "application/json" },
      body: formatEnrolment(enrolment, String(nonce)),
    });
  }
  raid.close();
  nonces.close();
  return { tickets_and_grants: found.length, ...report(raid) };
}

/** Counts by status, and what was let in. */
function report(raid: Raid) {
  return { statuses: Object.fromEntries(raid.statuses), successes: [...raid.successes] };
}

/** The identities worth being: those in the certificates' names. */
function victimsOf(alternativeNames: readonly string[]): readonly string[] {
  const ids = alternativeNames.flatMap(
    (names) => names.match(/spiffe:\/\/[a-z0-9._-]+\/[A-Za-z0-9._/-]+/g) ?? [],
  );
  return [...new Set(ids)].filter((id) => id.split("/").length > 4);
}

/** A DSSE ticket or grant, as the ledger's issue events embed them. */
function isEnrolment(text: string): boolean {
  return /^\{"payload":.*"application\/vnd\.trustwarden\.(?:ticket|grant)\.v1\+json"/.test(text);
}

function aimWith({ strings }: Loot): Aim {
  const find = (pattern: RegExp): string => {
    for (const text of strings) {
      const match = pattern.exec(text)?.[0];
      if (match !== undefined) return match;
    }
    throw new Error(`the data directory names no ${pattern.source}`);
  };
  return {
    owner: find(/own_[0-9A-Z]{26}/),
    agent: find(/agt_[0-9A-Z]{26}/),
    instance: find(/inst-[0-9A-Z]{26}/),
  };
}

function get(target: string): Attempt {
  return { origin: plan.main, method: "GET", target, headers: {} };
}

function readPlan(path: string): Plan {
  const text = (json: Readonly<Record<string, unknown>>, name: string): string => String(json[name] ?? "");
  const json: Readonly<Record<string, unknown>> = JSON.parse(readFileSync(path, "utf8"));
  return {
    data_dir: text(json, "data_dir"),
    copy_dir: join(text(json, "copy_dir"), "loot"),
    openapi: text(json, "openapi"),
    main: text(json, "main"),
    stop: text(json, "stop"),
    finance: text(json, "finance"),
    trust_domain: text(json, "trust_domain"),
    seconds: Number(json.seconds),
  };
}
