/**
 * Roles of databases that live as long as the agents they were made for.
 *
 * The database is the only place that knows them: each says in its comment whose it is. So a server that crashed finds
 * at its start what it had left behind, and nothing is dropped that it did not make. What this process has seen it
 * remembers, only to ask at each revocation whose role is over without asking the database.
 *
 * @see docs/decisions/0026-roles-for-a-job.md
 */
import type { LookupFunction } from "node:net";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parsePostgresqlSettings } from "@trustwarden/core/gateway/plan-postgresql.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { type AgentPrincipal, formatChain } from "@trustwarden/core/principal.ts";
import type { SecretsBroker } from "../../broker/broker.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { ControlDraft } from "../../store/ports.ts";
import { type DatabasePlace, withAdministrator } from "./connection.ts";
import { createRole, dropRole, type FoundRole, listRoles, roleNameOf, scramVerifierOf } from "./roles.ts";

const PASSWORD_BYTES = 24;
const SALT_BYTES = 16;
/** Between two looks at what is over, and at what could not be reached the last time. */
const TICK_MS = 2000;
/** Between two looks at what others may have left behind. */
const LOOK_MS = 30_000;

/** Why a role ended, as its event says it. */
export type RoleEnd = "given back" | "undelivered" | "agent" | "expired" | "template" | "upstream removed";

/** What this stands on. */
export interface DatabaseRolesDeps {
  readonly upstreams: { list(): readonly UpstreamState[] };
  readonly lookupFor: (upstream: UpstreamState) => LookupFunction;
  readonly broker: Pick<SecretsBroker, "credentialsFor">;
  /** Returns when this server has everything that others committed before; at once for a server alone. */
  readonly catchUp: () => Promise<void>;
  /** Whether this server looks after what others made and left behind. */
  readonly isTending: () => boolean;
  /** Whether a live instance's chain still covers the role. */
  readonly mayHave: (role: Pick<FoundRole, "instanceId" | "upstream" | "template">) => boolean;
  /** SPIFFE ID of the server. */
  readonly deployment: () => string;
  readonly record: (
    draft: ControlDraft,
    by: { readonly principal: string; readonly peer: string },
  ) => Promise<unknown>;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly warn: (facts: Readonly<Record<string, string | number>>, message: string) => void;
}

/** Asked for by an agent, decided and recorded. */
export interface RoleRequest {
  readonly upstream: UpstreamState;
  readonly template: string;
  readonly agent: AgentPrincipal;
  readonly eventId: string;
  readonly peer: string;
  /** Unix seconds when the agent's chain ends. */
  readonly endsAt: number;
}

/** Given once, to the agent; nobody else ever has the password. */
export interface GrantedRole {
  readonly name: string;
  readonly password: string;
  /** Unix seconds. */
  readonly validUntil: number;
}

/** Owns what is known of roles, and the order of work at each database. */
export class DatabaseRoles {
  readonly #deps: DatabaseRolesDeps;
  readonly #known = new Map<string, FoundRole>();
  /** Upstreams whose roles have to be looked through. */
  readonly #due = new Set<string>();
  /** The last piece of work of each upstream. */
  readonly #lanes = new Map<string, Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(deps: DatabaseRolesDeps) {
    this.#deps = deps;
  }

  /** Looks through every database for what an earlier process left behind, and goes on doing so. */
  start(): void {
    this.#lookAtAll();
    this.#timer = setInterval(() => void this.sweep(), TICK_MS).unref();
    void this.sweep();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled(this.#lanes.values());
  }

  /** Roles that are known to this process. */
  list(): readonly FoundRole[] {
    return [...this.#known.values()];
  }

  /**
   * Makes the agent's role of a template, or gives it a new password.
   *
   * @throws TrustWardenError `role_template_refused`, `secret_conflict`, `upstream_unreachable` and the broker's codes.
   */
  async create(request: RoleRequest): Promise<GrantedRole> {
    const { upstream, template } = request;
    const settings = parsePostgresqlSettings(upstream.settings).get(template);
    if (settings === undefined) throw new TrustWardenError("route_unknown", { template });
    const owner = {
      deployment: this.#deps.deployment(),
      upstream: upstream.name,
      instanceId: request.agent.instanceId,
      template,
    };
    const now = Math.floor(this.#deps.nowMs() / 1000);
    const validUntil = Math.min(request.endsAt, now + settings.ttlSeconds);
    const password = encodeBase64url(this.#deps.random(PASSWORD_BYTES));
    const verifier = scramVerifierOf(password, this.#deps.random(SALT_BYTES));
    const name = roleNameOf(owner);
    const known = this.#known.get(keyOf(upstream.name, name));
    // One whose groups are no longer the template's gets no new password: it ends, and another is made.
    if (this.#due.has(upstream.name) || (known !== undefined && this.#endOf(known) !== null))
      await this.#sweepOne(upstream, (role) => this.#endOf(role));
    await this.#inLane(upstream, async (place) => {
      await withAdministrator(place, (client) =>
        createRole(client, { owner, ...settings, verifier, validUntil }),
      );
      this.#known.set(keyOf(upstream.name, name), {
        ...owner,
        name,
        memberOf: settings.memberOf,
        validUntil,
      });
    });
    const { agent, peer, eventId } = request;
    const facts = { change: "role", template, valid_until: validUntil, event_id: eventId };
    try {
      await this.#record({ upstream: upstream.name, name, facts }, { agent, peer });
    } catch (error) {
      // A role that nobody can read about is none.
      await this.#drop(upstream, name);
      throw error;
    }
    return { name, password, validUntil };
  }

  /** Ends a role of the calling agent; nothing happens when there is none. */
  async end(request: Omit<RoleRequest, "endsAt">, reason: RoleEnd): Promise<void> {
    const { upstream, template, agent, peer, eventId } = request;
    const name = roleNameOf({ instanceId: agent.instanceId, template });
    if (!(await this.#drop(upstream, name))) return;
    const facts = { change: "role_end", reason, event_id: eventId };
    await this.#record({ upstream: upstream.name, name, facts }, { agent, peer });
  }

  /** Everything of an upstream that is registered no more; called while its registration is still at hand. */
  async endAll(upstream: UpstreamState): Promise<void> {
    await this.#sweepOne(upstream, () => "upstream removed");
  }

  /** Ends what is over; after each revocation, and now and then. Never rejects: what failed is tried again. */
  async sweep(): Promise<void> {
    // Whoever made a role may have died, and each process knows only what it made or has seen.
    if (this.#deps.isTending() && this.#deps.nowMs() - this.#lookedMs >= LOOK_MS) this.#lookAtAll();
    for (const role of this.#known.values()) if (this.#endOf(role) !== null) this.#due.add(role.upstream);
    const due = this.#upstreams().filter(({ name }) => this.#due.has(name));
    await Promise.all(
      due.map(async (upstream) => {
        this.#due.delete(upstream.name);
        try {
          await this.#sweepOne(upstream, (role) => this.#endOf(role));
        } catch (error) {
          // Safe to go on: it stays due. Until then the database's own limit holds, and the lists refuse the SVID.
          this.#due.add(upstream.name);
          const code = error instanceof TrustWardenError ? error.code : "internal";
          this.#deps.warn(
            { code, upstream: upstream.name },
            "roles of a database could not be looked through",
          );
        }
      }),
    );
  }

  #lookAtAll(): void {
    this.#lookedMs = this.#deps.nowMs();
    for (const { name } of this.#upstreams()) this.#due.add(name);
  }

  /** Whether there was such a role of this deployment. */
  async #drop(upstream: UpstreamState, name: string): Promise<boolean> {
    let isFound = false;
    await this.#inLane(upstream, async (place) => {
      await withAdministrator(place, async (client) => {
        const roles = await listRoles(client, this.#place(upstream));
        isFound = roles.some((role) => role.name === name) && (await dropRole(client, name));
      });
      this.#known.delete(keyOf(upstream.name, name));
    });
    return isFound;
  }

  async #sweepOne(upstream: UpstreamState, endOf: (role: FoundRole) => RoleEnd | null): Promise<void> {
    await this.#inLane(upstream, (place) =>
      withAdministrator(place, async (client) => {
        const roles = await listRoles(client, this.#place(upstream));
        // Another server makes a role for an agent of which this one has not heard; who has one by now was committed before.
        await this.#deps.catchUp();
        for (const role of roles) {
          const key = keyOf(upstream.name, role.name);
          this.#known.set(key, role);
          const reason = endOf(role);
          if (reason === null) continue;
          const isDropped = await dropRole(client, role.name);
          this.#known.delete(key);
          if (!isDropped) continue;
          const facts = { change: "role_end", reason, event_id: null };
          await this.#record({ upstream: upstream.name, name: role.name, facts }, null);
        }
      }),
    );
  }

  /** Why a role is over; null while it is not. */
  #endOf(role: FoundRole): RoleEnd | null {
    const upstream = this.#upstreams().find(({ name }) => name === role.upstream);
    if (upstream === undefined) return "upstream removed";
    const template = parsePostgresqlSettings(upstream.settings).get(role.template);
    if (template === undefined || !hasSame(template.memberOf, role.memberOf)) return "template";
    if (role.validUntil === null || role.validUntil * 1000 <= this.#deps.nowMs()) return "expired";
    return this.#deps.mayHave(role) ? null : "agent";
  }

  #upstreams(): readonly UpstreamState[] {
    return this.#deps.upstreams.list().filter(({ kind }) => kind === "postgresql");
  }

  #place({ name }: UpstreamState): { readonly deployment: string; readonly upstream: string } {
    return { deployment: this.#deps.deployment(), upstream: name };
  }

  /** One piece of work at a time, so that a role is not made while it is dropped. */
  async #inLane(upstream: UpstreamState, work: (place: DatabasePlace) => Promise<void>): Promise<void> {
    const before = this.#lanes.get(upstream.name) ?? Promise.resolve();
    const lane = before.then(async () => work(await this.#open(upstream)));
    const settled = lane.catch(() => undefined);
    this.#lanes.set(upstream.name, settled);
    await lane;
  }

  async #open(upstream: UpstreamState): Promise<DatabasePlace> {
    const secret = upstream.secret ?? "";
    const use = { secret, upstream: upstream.name, origin: originOf(upstream.url) };
    const { user, password } = await this.#deps.broker.credentialsFor(use);
    return { upstream, lookup: this.#deps.lookupFor(upstream), user, password };
  }

  async #record(
    role: {
      readonly upstream: string;
      readonly name: string;
      readonly facts: Readonly<Record<string, string | number | null>>;
    },
    by: { readonly agent: AgentPrincipal; readonly peer: string } | null,
  ): Promise<void> {
    const { upstream, name, facts } = role;
    const details = { ...facts, upstream, role: name };
    const chain = by === null ? [] : formatChain(by.agent);
    const subject = `role:${upstream}/${name}`;
    const draft = { kind: "secret", allow: true, reasons: [], subject, chain, details } as const;
    const principal = by?.agent.spiffeId ?? this.#deps.deployment();
    await this.#deps.record(draft, { principal, peer: by?.peer ?? "local" });
  }
}

function hasSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name) => right.includes(name));
}

function keyOf(upstream: string, name: string): string {
  return `${upstream} ${name}`;
}
