/**
 * Issues identity assertion grants for other authorization servers. What stands behind each word is covered by every link
 * of the client's chain, and of the chain of whoever it acts for, in the transaction that writes the event.
 *
 * @see docs/decisions/0027
 */

import { formatUlid } from "@trustwarden/core/id.ts";
import {
  type IdentityGrant,
  issueIdentityGrant,
  MAX_IDENTITY_GRANT_SECONDS,
} from "@trustwarden/core/identity-grant.ts";
import type { IssuedIdentityGrant, IssueIdentityGrantCommand } from "../oauth-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine } from "../sqlite-instance.ts";
import { requireWithin, verifyClient, verifySubject } from "./access-tokens.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";
import type { LiveInstance } from "./live-instance.ts";

/** @throws TrustWardenError as `OAuthCommands.issueIdentityGrant` says. */
export function issueGrant(
  database: SqliteDatabase,
  command: IssueIdentityGrantCommand,
  deps: CommandDeps,
): CommandResult<IssuedIdentityGrant> {
  const now = secondsOf(command.context);
  const client = verifyClient(database, command, now);
  const subject = verifySubject(database, command, { client, now });
  const limit = command.subject?.scope ?? null;
  const links = [...client.line, ...subject.line].map(({ scope }) => scope);
  requireWithin(command.scope, limit === null ? links : [...links, limit]);
  const grant: IdentityGrant = {
    issuer: command.issuer,
    subject: subject.instance.spiffeId,
    audience: command.audience,
    clientId: command.clientId ?? client.instance.spiffeId,
    resource: command.resource,
    scope: command.words,
    jti: formatUlid(command.context.nowMs, deps.random),
    issuedAt: now,
    expiresAt: endOf(command, { now, client, subject }),
    confirmation: command.confirmation,
  };
  const text = issueIdentityGrant(grant, { kid: deps.jwtKid, signer: deps.jwtSigner });
  return {
    value: { grant: text, expiresAt: grant.expiresAt },
    draft: draftOf(command, grant, { client, kid: deps.jwtKid }),
  };
}

function endOf(
  { client: { notAfter }, subject: shown }: IssueIdentityGrantCommand,
  {
    now,
    client,
    subject,
  }: { readonly now: number; readonly client: LiveInstance; readonly subject: LiveInstance },
): number {
  const ends = [client.instance.expiresAt, subject.instance.expiresAt, notAfter];
  if (shown !== null) ends.push(shown.expiresAt);
  return Math.min(now + MAX_IDENTITY_GRANT_SECONDS, ...ends);
}

/** Everything that the grant says, and how its client proved itself; never the grant. */
function draftOf(
  command: IssueIdentityGrantCommand,
  grant: IdentityGrant,
  { client, kid }: { readonly client: LiveInstance; readonly kid: string },
): CommandResult<IssuedIdentityGrant>["draft"] {
  const { instance, line } = client;
  const { confirmation } = grant;
  return {
    kind: "token",
    allow: true,
    reasons: [],
    subject: grant.subject,
    chain: formatLine(line),
    details: {
      change: "grant",
      agent_id: instance.agentId,
      instance_id: instance.instanceId,
      client_id: grant.clientId,
      client_method: command.client.method,
      audience: grant.audience,
      resource: grant.resource,
      scope: [...grant.scope],
      covered_by: [...command.scope],
      jti: grant.jti,
      kid,
      cnf: { [confirmation.kind]: confirmation.digest },
      subject_jti: command.subject?.jti ?? null,
      expires_at: grant.expiresAt,
    },
  };
}
