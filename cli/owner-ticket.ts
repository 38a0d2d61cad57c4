/**
 * A ticket signed on this machine by an owner's key: for `warden agent ticket`, which prints it, and for `warden run`, which
 * uses it at once.
 */
import { issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseAgentLabel } from "@trustwarden/core/agentid/names.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import { createAdminTransport } from "./admin-transport.ts";
import { createClient } from "./client.ts";
import type { Session } from "./command.ts";
import { openOwner } from "./owner-keys.ts";
import { describeServer } from "./server-description.ts";

/** What an owner permits. */
export interface OwnerTicketOptions {
  readonly owner: string;
  readonly path: string;
  readonly name: string;
  readonly scope: readonly string[];
  /** Lifetime of the instance. */
  readonly ttl: string;
  /** How long the unused ticket stays good. */
  readonly validFor: string;
  readonly depth: number;
  readonly fanOut: number;
  readonly budget?: number;
}

/** A ticket, and what it says. */
export interface OwnerTicket {
  /** `tw1.` text. */
  readonly value: string;
  readonly ownerId: string;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** @throws TrustWardenError `not_found` without the key, and the codes of the members. */
export async function issueOwnerTicket(
  { io, paths }: Pick<Session, "io" | "paths">,
  options: OwnerTicketOptions,
): Promise<OwnerTicket> {
  const owner = openOwner(paths, options.owner);
  const { path, name } = parseAgentLabel({ path: options.path, name: options.name });
  const scope = parseScope(options.scope);
  const nowMs = io.nowMs();
  const iat = Math.floor(nowMs / 1000);
  const expiresAt = iat + parseTtl(options.validFor);
  const admin = createClient(createAdminTransport(paths.adminSocket));
  const { authoritiesSha256, serverUrl } = await describeServer(admin, owner.profile);
  const { ownerId, trustDomain } = owner.profile;
  const ticket = issueTicket(
    {
      v: 1,
      kind: "agent",
      jti: formatUlid(nowMs, io.random),
      aud: `spiffe://${trustDomain}`,
      iat,
      exp: expiresAt,
      owner: ownerId,
      path,
      name,
      scope,
      ttl_seconds: parseTtl(options.ttl),
      limits: { depth: options.depth, fan_out: options.fanOut, budget: options.budget ?? null },
    },
    owner.signer,
    owner.keyid,
  );
  const value = formatTicketValue({ authoritiesSha256, server: serverUrl, ticket });
  return { value, ownerId, path, name, scope, expiresAt };
}
