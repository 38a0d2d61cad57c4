/**
 * Issues and revokes access tokens. What a token may say is decided here, in the transaction that writes its event:
 * the client and whoever it acts for are alive, and the scope is covered by every link of both chains.
 *
 * @see docs/decisions/0019
 */
import {
  type AccessToken,
  issueAccessToken,
  MAX_ACCESS_TOKEN_SECONDS,
} from "@trustwarden/core/access-token.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { findCounterexample, isSubset, type Scope } from "@trustwarden/core/scope.ts";
import type {
  AcceptedGrant,
  IssueAccessTokenCommand,
  IssuedAccessToken,
  RevokeAccessTokenCommand,
} from "../oauth-ports.ts";
import { findAccessToken } from "../oauth-rows.ts";
import type { InstanceState } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import { type LiveInstance, requireLiveSvid, verifyLiveInstance } from "./live-instance.ts";
import { claimStatusSlot, type StatusSlot } from "./status-slots.ts";

/** What ended is kept this long: a status list that names its place may still be believed. */
const KEPT_SECONDS = 600;
/** Removed with each new token, so that the tables stay as small as what is in use. */
const MAX_REMOVED = 16;

const ADD = `
  INSERT INTO access_tokens (jti, client_instance_id, subject_instance_id, page, slot, expires_at)
  VALUES (?, ?, ?, ?, ?, ?)`;
const REVOKE =
  "UPDATE access_tokens SET revoked_at = ? WHERE jti = ? AND revoked_at IS NULL AND expires_at > ?";
const CLAIM_ASSERTION = `
  INSERT INTO client_assertions (assertion_sha256, confirmation, expires_at) VALUES (?, ?, ?)
  ON CONFLICT DO NOTHING`;
const FIND_ASSERTION = "SELECT confirmation FROM client_assertions WHERE assertion_sha256 = ?";
const FIND_OWNER = "SELECT owner_id FROM owners WHERE name = ? AND revoked_epoch IS NULL";
const FIND_KEY = "SELECT holder FROM keys WHERE spki_sha256 = ?";
const REMOVE_TOKENS = `
  DELETE FROM access_tokens WHERE jti IN
    (SELECT jti FROM access_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;
const REMOVE_ASSERTIONS = `
  DELETE FROM client_assertions WHERE assertion_sha256 IN
    (SELECT assertion_sha256 FROM client_assertions WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;

/** What every command of a client has. */
type TokenCommand = Pick<IssueAccessTokenCommand, "client" | "subject" | "confirmation" | "keySha256">;

/** @throws TrustWardenError as `OAuthCommands.issueAccessToken` says. */
export function issueToken(
  database: SqliteDatabase,
  command: IssueAccessTokenCommand,
  deps: CommandDeps,
): CommandResult<IssuedAccessToken> {
  const now = secondsOf(command.context);
  const client = verifyClient(database, command, now);
  const subject = verifySubject(database, command, { client, now });
  if (command.grant !== null) useGrant(database, command.grant, { client, now });
  const scope = grantScope(command, { client, subject });
  const expiresAt = endOf(command, { now, instances: [client.instance, subject.instance] });
  const jti = formatUlid(command.context.nowMs, deps.random);
  const { instanceId } = client.instance;
  const place = claimStatusSlot(database, deps, { instanceId, expiresAt, now });
  const token: AccessToken = {
    issuer: command.issuer,
    subject: subject.instance.spiffeId,
    actors: command.subject?.actors ?? [],
    clientId: client.instance.spiffeId,
    audience: command.audience,
    scope,
    jti,
    issuedAt: now,
    expiresAt,
    confirmation: command.confirmation,
    status: { uri: `${command.statusLists}/${place.page}`, index: place.index },
  };
  const text = issueAccessToken(token, { kid: deps.jwtKid, signer: deps.jwtSigner });
  keepToken(database, token, { client, subject, place, now });
  return { value: { token: text, jti, scope, expiresAt }, draft: draftOf(command, token, { client, deps }) };
}

/** @throws TrustWardenError `not_found`. */
export function revokeToken(
  database: SqliteDatabase,
  { context, jti }: RevokeAccessTokenCommand,
): CommandResult<null> {
  const now = secondsOf(context);
  const state = findAccessToken(database, jti);
  if (state === undefined) throw new TrustWardenError("not_found", { kind: "access token" });
  const { changes } = database.run(REVOKE, now, jti, now);
  if (changes === 0) throw new TrustWardenError("not_found", { kind: "access token", reason: "ended" });
  const chain = formatLine(lineOf(database, state.clientInstanceId));
  const details = { change: "revoke", jti, instance_id: state.clientInstanceId };
  return {
    value: null,
    draft: { kind: "token", allow: true, reasons: [], subject: jti, chain, details },
  };
}

/** The client, alive, with a key that is its own. @throws TrustWardenError as `OAuthCommands.issueAccessToken` says. */
export function verifyClient(
  database: SqliteDatabase,
  { client, confirmation, keySha256 }: TokenCommand,
  now: number,
): LiveInstance {
  const { instanceId, svidSha256, assertion } = client;
  const live = verifyLiveInstance(database, instanceId, now);
  if (live.instance.kind !== "agent")
    throw new TrustWardenError("principal_refused", { kind: live.instance.kind });
  if (svidSha256 !== null) requireLiveSvid(database, { svidSha256, instanceId, now });
  if (assertion !== null) {
    claimAssertion(database, {
      ...assertion,
      confirmation: `${confirmation.kind} ${confirmation.digest}`,
      now,
    });
  }
  const holder = keySha256 === null ? undefined : database.get(FIND_KEY, keySha256)?.text("holder");
  // A proof by somebody else's key would make two parties of one token.
  if (holder !== undefined && holder !== instanceId) throw new TrustWardenError("key_reused");
  return live;
}

/** An assertion belongs to the key that it is first shown with: whoever copied it has another. */
function claimAssertion(
  database: SqliteDatabase,
  claim: {
    readonly sha256: string;
    readonly confirmation: string;
    readonly expiresAt: number;
    readonly now: number;
  },
): void {
  database.run(REMOVE_ASSERTIONS, claim.now - KEPT_SECONDS);
  database.run(CLAIM_ASSERTION, claim.sha256, claim.confirmation, claim.expiresAt);
  if (database.get(FIND_ASSERTION, claim.sha256)?.text("confirmation") !== claim.confirmation) {
    throw new TrustWardenError("client_assertion_replayed");
  }
}

/** In whose name; the client unless somebody else is named. @throws TrustWardenError `access_token_revoked`, and liveness. */
export function verifySubject(
  database: SqliteDatabase,
  { subject }: TokenCommand,
  { client, now }: { readonly client: LiveInstance; readonly now: number },
): LiveInstance {
  if (subject === null) return client;
  const state = subject.jti === null ? undefined : findAccessToken(database, subject.jti);
  // One that the store does not know was not issued here, whoever signed it.
  if (subject.jti !== null && state?.isRevoked !== false) throw new TrustWardenError("access_token_revoked");
  return verifyLiveInstance(database, subject.instanceId, now);
}

/** What was asked for, when every link of both chains and the subject token cover it; never less in silence. */
function grantScope(
  command: IssueAccessTokenCommand,
  { client, subject }: { readonly client: LiveInstance; readonly subject: LiveInstance },
): Scope {
  const limits = [command.subject?.scope, command.grant?.scope].filter((scope) => scope != null);
  const child = command.scope ?? limits[0] ?? client.instance.scope;
  if (child.length === 0) throw new TrustWardenError("scope_malformed", { reason: "empty" });
  const links = [...client.line, ...subject.line].map(({ scope }) => scope);
  requireWithin(child, [...links, ...limits]);
  return child;
}

/** @throws TrustWardenError `scope_not_subset` with an action that one of the limits does not cover. */
export function requireWithin(child: Scope, limits: readonly Scope[]): void {
  for (const parent of limits) {
    if (isSubset({ parent, child })) continue;
    throw new TrustWardenError("scope_not_subset", {
      counterexample: findCounterexample({ parent, child }) ?? "",
    });
  }
}

/**
 * Uses up a grant: for an agent of the owner whom it speaks for, once.
 *
 * Its place is among the assertions, under a digest that no assertion has, and claimed by nobody's key.
 */
function useGrant(
  database: SqliteDatabase,
  { useSha256, owner, expiresAt }: AcceptedGrant,
  { client, now }: { readonly client: LiveInstance; readonly now: number },
): void {
  const row = database.get(FIND_OWNER, owner);
  const isTheirs = row !== undefined && row.text("owner_id") === client.instance.ownerId;
  if (!isTheirs) throw new TrustWardenError("assertion_refused", { reason: "owner" });
  database.run(REMOVE_ASSERTIONS, now - KEPT_SECONDS);
  const { changes } = database.run(CLAIM_ASSERTION, useSha256, "grant", expiresAt);
  if (changes === 0) throw new TrustWardenError("assertion_replayed");
}

function endOf(
  { client, subject, grant }: IssueAccessTokenCommand,
  { now, instances }: { readonly now: number; readonly instances: readonly InstanceState[] },
): number {
  const ends = instances.map(({ expiresAt }) => expiresAt);
  for (const shown of [subject, grant]) if (shown !== null) ends.push(shown.expiresAt);
  return Math.min(now + MAX_ACCESS_TOKEN_SECONDS, client.notAfter, ...ends);
}

function keepToken(
  database: SqliteDatabase,
  { jti, expiresAt }: AccessToken,
  {
    client,
    subject,
    place,
    now,
  }: {
    readonly client: LiveInstance;
    readonly subject: LiveInstance;
    readonly place: StatusSlot;
    readonly now: number;
  },
): void {
  database.run(REMOVE_TOKENS, now - KEPT_SECONDS);
  const { instanceId } = client.instance;
  database.run(ADD, jti, instanceId, subject.instance.instanceId, place.page, place.index, expiresAt);
}

/** Everything that the token says, and how its client proved itself; never the token. */
function draftOf(
  { client, grantType, subject, grant }: IssueAccessTokenCommand,
  token: AccessToken,
  { client: { instance, line }, deps }: { readonly client: LiveInstance; readonly deps: CommandDeps },
): CommandResult<IssuedAccessToken>["draft"] {
  const { jti, audience, scope, confirmation, status, expiresAt, actors } = token;
  return {
    kind: "token",
    allow: true,
    reasons: [],
    subject: token.subject,
    chain: formatLine(line),
    details: {
      change: "issue",
      grant_type: grantType,
      agent_id: instance.agentId,
      instance_id: instance.instanceId,
      client_id: token.clientId,
      client_method: client.method,
      assertion_sha256: client.assertion?.sha256 ?? null,
      audience,
      scope: [...scope],
      jti,
      kid: deps.jwtKid,
      cnf: { [confirmation.kind]: confirmation.digest },
      actors: [...actors],
      subject_jti: subject?.jti ?? null,
      ...(grant === null ? {} : { grant: { iss: grant.issuer, sub: grant.subject, jti: grant.jti } }),
      expires_at: expiresAt,
      status: `${status.uri}#${status.index}`,
    },
  };
}
