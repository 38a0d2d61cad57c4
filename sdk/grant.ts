/**
 * What a child asks for and what its parent signs.
 *
 * The holder of a ticket or grant also checks here that it says what was asked for, and that what was issued is what
 * it says: a mistaken ticket is a clear error at the start and not a missing permission later.
 */
import type { Certificate } from "@trustwarden/core/agentid/certificate.ts";
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import type { Limits } from "@trustwarden/core/agentid/delegation.ts";
import { formatLimits, issueGrant, MAX_GRANT_SECONDS } from "@trustwarden/core/agentid/enrolment.ts";
import {
  formatGrantValue,
  formatRequestValue,
  parseRequestValue,
} from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseAgentName } from "@trustwarden/core/agentid/names.ts";
import { formatSpiffeId, parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { digestOfAuthorities } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { InstanceKey } from "./instance-key.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import type { TrustServer } from "./trust-server.ts";

const DEFAULT_TTL = "1h";

/** What a child is to be. */
export interface ChildOptions {
  readonly name: string;
  readonly scope: readonly string[];
  /** Lifetime of the instance; `1h` when absent. Cut to what the parent has left. */
  readonly ttl?: string;
  /** What the child may hand on; in the same process one generation less than the parent, across processes nothing. */
  readonly limits?: Partial<Limits>;
  /** SHA-256 digests (base64url) of what the child is made of; bound to the instance for its life. */
  readonly composition?: Composition;
}

/** What the server must have issued. */
export interface Expected {
  readonly name: string;
  readonly scope: Scope;
}

/** A grant in its two forms: the document, and the text that carries it to another process. */
export interface SignedGrant {
  readonly envelope: string;
  readonly text: string;
  readonly expected: Expected;
}

/** The child that `create` with a parent asks for. @throws TrustWardenError `scope_malformed` without a scope. */
export function requestedFrom(options: Partial<ChildOptions> & { readonly name: string }): ChildOptions {
  const { name, scope, ttl, limits, composition } = options;
  // A child without a named scope would have to get its parent's, which is never right.
  if (scope === undefined) throw new TrustWardenError("scope_malformed", { reason: "a child needs a scope" });
  return {
    name,
    scope,
    ...(ttl === undefined ? {} : { ttl }),
    ...(limits === undefined ? {} : { limits }),
    ...(composition === undefined ? {} : { composition }),
  };
}

/** The `twr1.` text of a child's request. */
export function formatRequest(
  { name, scope, ttl = DEFAULT_TTL, limits = {} }: ChildOptions,
  thumbprint: string,
): { readonly text: string; readonly expected: Expected } {
  const expected = { name: parseAgentName(name), scope: parseScope(scope) };
  const text = formatRequestValue({
    ...expected,
    ttlSeconds: parseTtl(ttl),
    limits: { depth: 0, fanOut: 0, budget: 0, ...limits },
    thumbprint,
  });
  return { text, expected };
}

/** What a request asks for. @throws TrustWardenError as `parseRequestValue`. */
export function parseRequest(text: string): { readonly child: ChildOptions; readonly thumbprint: string } {
  const { name, scope, ttlSeconds, limits, thumbprint } = parseRequestValue(text);
  return { child: { name, scope, ttl: `${ttlSeconds}s`, limits }, thumbprint };
}

/** Signs a grant with the parent's live SVID key: for this child's key, once, within a minute. */
export function issueGrantFor(options: {
  readonly child: ChildOptions;
  readonly thumbprint: string;
  /** Its limits bound the child's where the child names none. */
  readonly parent: Pick<IdentityAnswer, "path" | "spiffe_id" | "limits">;
  readonly credential: {
    readonly key: Pick<InstanceKey, "signer">;
    readonly svid: { readonly leaf: Pick<Certificate, "sha256"> };
  };
  readonly server: Pick<TrustServer, "trustDomain" | "address" | "bundle">;
  readonly runtime: Runtime;
}): SignedGrant {
  const { child, thumbprint, parent, credential, server, runtime } = options;
  const expected = { name: parseAgentName(child.name), scope: parseScope(child.scope) };
  const now = nowSeconds(runtime);
  const grant = {
    v: 1 as const,
    jti: formatUlid(runtime.nowMs(), runtime.random),
    aud: formatSpiffeId(server.trustDomain, []),
    iat: now,
    exp: now + MAX_GRANT_SECONDS,
    ...expected,
    path: parent.path,
    ttl_seconds: parseTtl(child.ttl ?? DEFAULT_TTL),
    limits: formatLimits({ ...defaultLimits(parent), ...child.limits }),
    child_thumbprint: thumbprint,
    parent: parseSpiffeId(parent.spiffe_id),
    svid_sha256: credential.svid.leaf.sha256,
  };
  const envelope = issueGrant(grant, credential.key.signer);
  const { url } = server.address;
  // Of today, not of the parent's own ticket: the roots may have been rotated since.
  const authoritiesSha256 = digestOfAuthorities(server.bundle);
  return { envelope, text: formatGrantValue({ authoritiesSha256, server: url, grant: envelope }), expected };
}

/**
 * Refuses a ticket that is not for this agent.
 *
 * @throws TrustWardenError `ticket_mismatch`, naming the member that differs.
 */
export function requireTicketFor(
  asked: Partial<ChildOptions> & { readonly name: string },
  { kind, name, scope, ttl_seconds }: JsonObject,
): Expected {
  const atoms = Array.isArray(scope) ? scope.map(String) : [];
  const granted = parseScope(atoms);
  if (kind !== "agent") throw mismatch("kind");
  if (name !== asked.name) throw mismatch("name");
  if (asked.scope !== undefined && parseScope(asked.scope).join() !== granted.join()) throw mismatch("scope");
  if (asked.ttl !== undefined && parseTtl(asked.ttl) !== ttl_seconds) throw mismatch("ttl");
  if (asked.limits !== undefined) throw mismatch("limits");
  return { name: asked.name, scope: granted };
}

/**
 * Refuses an identity that is not the one asked for; returns its agent id.
 *
 * @throws TrustWardenError `server_untrusted`.
 */
export function requireIssuedAs(answer: IdentityAnswer, { name, scope }: Expected): string {
  const isExpected = answer.name === name && answer.scope.join() === scope.join();
  if (!isExpected || answer.agent_id === null) {
    throw new TrustWardenError("server_untrusted", { reason: "not the identity that was asked for" });
  }
  return answer.agent_id;
}

function defaultLimits({ limits }: Pick<IdentityAnswer, "limits">): Limits {
  // A budget is shared out on purpose or not at all.
  return {
    depth: Math.max(limits.depth - 1, 0),
    fanOut: limits.fan_out,
    budget: limits.budget === null ? null : 0,
  };
}

function mismatch(field: string): TrustWardenError {
  return new TrustWardenError("ticket_mismatch", { field });
}
