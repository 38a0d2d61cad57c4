/**
 * An instance whose keys are made here for another process: a launcher holds them and hands them on by the Workload API.
 *
 * Enrols with a ticket or a grant like any agent, together with its class, says `custody: delivered`, renews both at half
 * life, and holds a lease of its own, so that its end is known here at once and not at the next renewal.
 */
import type { IncomingMessage } from "node:http";
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  type IdentityAnswer,
  jwtSvidAnswer,
  type NamedIdentity,
  type WitSvidAnswer,
} from "@trustwarden/core/api/identity.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Place } from "@trustwarden/core/gateway/plan-egress.ts";
import type { UpstreamDescription } from "@trustwarden/core/gateway/upstream.ts";
import { isDeathOf, type RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { agentAct } from "./agent-act.ts";
import { AgentSession } from "./agent-session.ts";
import type { ClassSvid, Credential } from "./credential.ts";
import { type Enrolled, enrol, type HeldEnrolment, readGrant, readTicket } from "./enrol.ts";
import { type GatewayCall, openGatewayCall } from "./gateway-call.ts";
import { type GatewayTunnel, openGatewayTunnel } from "./gateway-tunnel.ts";
import {
  type ChildOptions,
  formatRequest,
  issueGrantFor,
  parseRequest,
  requireIssuedAs,
  requireTicketFor,
} from "./grant.ts";
import { createDeliveredKey, type DeliveredKey, type InstanceKey } from "./instance-key.ts";
import { createLease, type Lease } from "./lease.ts";
import { jitter, type Runtime } from "./runtime.ts";
import { connectServer, encodeBody, type TrustServer } from "./trust-server.ts";
import { fetchWit } from "./wit.ts";

/** A revocation is heard by every launcher at one moment, and most are not touched by it: they ask within this time. */
const CONFIRM_SPREAD_MS = 1000;

/** What a holder is told. */
export interface DeliveredEvents {
  /** Another SVID and key, or other bundles. */
  readonly onChange: () => void;
  /** The instance is revoked; nothing of it may be handed out any more. */
  readonly onRevoked: () => void;
}

/** Owns the keys, the session and the lease of one instance. */
export class DeliveredIdentity {
  readonly answer: IdentityAnswer;
  readonly server: TrustServer;
  readonly #session: AgentSession;
  readonly #keys: KeyRing;
  readonly #events: DeliveredEvents;
  readonly #runtime: Runtime;
  readonly #lease: Lease;
  #epoch: number | undefined;
  /** The question that waits for its moment; what is heard meanwhile is answered by it too. */
  #confirming: NodeJS.Timeout | undefined;
  #isEnded = false;

  /** `fromTicket` and `fromParent` enrol what this takes over. */
  constructor(options: {
    readonly enrolled: Enrolled;
    readonly agentId: string;
    readonly keys: KeyRing;
    readonly server: TrustServer;
    readonly events: DeliveredEvents;
    readonly composition: (() => Composition) | undefined;
    readonly runtime: Runtime;
  }) {
    const { enrolled, agentId, keys, server, events, runtime } = options;
    this.answer = enrolled.answer;
    this.server = server;
    this.#keys = keys;
    this.#events = events;
    this.#runtime = runtime;
    this.#session = new AgentSession({
      enrolled,
      agentId,
      server,
      runtime,
      createKey: () => keys.create(),
      composition: options.composition,
      onRenewed: (credential) => {
        keys.keepOnly(credential);
        events.onChange();
      },
    });
    this.#lease = this.#openLease();
  }

  /**
   * Enrols with an owner's ticket.
   *
   * @throws TrustWardenError `ticket_missing`, `ticket_invalid`, the server's refusal, `server_untrusted`,
   *   `server_unreachable`.
   */
  static async fromTicket(options: {
    readonly ticket: string;
    readonly events: DeliveredEvents;
    /** What the agent is made of, asked again at each renewal. */
    readonly composition?: (() => Composition) | undefined;
    readonly runtime: Runtime;
  }): Promise<DeliveredIdentity> {
    const held = readTicket(options.ticket);
    const { name } = held.unverified;
    if (typeof name !== "string") throw new TrustWardenError("ticket_invalid", { field: "name" });
    const keys = new KeyRing();
    return enrolDelivered({
      ...options,
      held,
      keys,
      key: keys.create(),
      expected: requireTicketFor({ name }, held.unverified),
    });
  }

  /**
   * Enrols as the child of an instance elsewhere.
   *
   * @param options.grant - gives the grant for the text of a request.
   * @throws TrustWardenError `grant_invalid`, `scope_not_subset`, and as `fromTicket`.
   */
  static async fromParent(options: {
    readonly child: ChildOptions;
    readonly grant: (request: string) => Promise<string>;
    readonly events: DeliveredEvents;
    readonly composition?: (() => Composition) | undefined;
    readonly runtime: Runtime;
  }): Promise<DeliveredIdentity> {
    const keys = new KeyRing();
    const key = keys.create();
    const { text, expected } = formatRequest(options.child, key.thumbprint);
    return enrolDelivered({ ...options, held: readGrant(await options.grant(text)), keys, key, expected });
  }

  /** SVIDs and keys at hand. @throws TrustWardenError `identity_closed`, `identity_expired`, `identity_revoked`. */
  current(): {
    readonly credential: Credential;
    /** The instance first, then its class; both end together. */
    readonly identities: readonly [HeldIdentity, HeldIdentity];
  } {
    if (this.#isEnded) throw new TrustWardenError("identity_revoked");
    const credential = this.#session.holder.current();
    const { svid, svidChain: chain, key, ofClass } = credential;
    if (ofClass === undefined) throw new Error("a delivered identity without its class");
    const hold = (of: ClassSvid, identity: NamedIdentity) => {
      const { id: spiffeId, chain } = of;
      return { identity, spiffeId, chain, keyPkcs8: this.#keys.get(of.key.thumbprint) };
    };
    return {
      credential,
      identities: [hold({ id: svid.id, chain, key }, "instance"), hold(ofClass, "class")],
    };
  }

  /** A JWT-SVID of the instance or its class for one audience. */
  async jwt(audience: string, identity: NamedIdentity): Promise<string> {
    const call = {
      action: "issue:jwt-svid",
      method: "POST",
      target: "/v1/jwt-svids",
      body: encodeBody({ audience, identity }),
      schema: jwtSvidAnswer,
    } as const;
    return (await this.#session.call(call)).svid;
  }

  /** A WIT-SVID of the instance or its class for a key of its holder. */
  wit(key: InstanceKey, identity: NamedIdentity): Promise<WitSvidAnswer> {
    return fetchWit(this.#session, key, identity);
  }

  /** One call through the gateway, signed with the delivered key. @throws TrustWardenError as `openGatewayCall`. */
  callGateway(call: GatewayCall): Promise<IncomingMessage> {
    if (this.#isEnded) return Promise.reject(new TrustWardenError("identity_revoked"));
    return openGatewayCall(this.#session, call);
  }

  /** A tunnel to a place outside. @throws TrustWardenError as `openGatewayTunnel`. */
  openTunnel(place: Place): Promise<GatewayTunnel> {
    if (this.#isEnded) return Promise.reject(new TrustWardenError("identity_revoked"));
    return openGatewayTunnel(this.#session, place);
  }

  /** What is behind the gateway; undefined when the server has none. */
  async gatewayUpstreams(): Promise<readonly UpstreamDescription[] | undefined> {
    return this.server.discovery.gateway_url === null ? undefined : this.#session.gateway.list();
  }

  /** Grants what a child requested, for the next minute and once. @throws TrustWardenError `request_malformed`. */
  grant(request: string): string {
    const { child, thumbprint } = parseRequest(request);
    const { credential } = this.current();
    const { server } = this;
    return issueGrantFor({
      child,
      thumbprint,
      parent: this.answer,
      credential,
      server,
      runtime: this.#runtime,
    }).text;
  }

  /**
   * Has an action inside the process decided and recorded, in the one sequence of the instance's intents. That the process
   * then does it, and nothing else, is its own word (`enforcement: self`).
   *
   * @returns the event's id. @throws TrustWardenError as `agentAct`.
   */
  async decide({
    action,
    resource,
  }: {
    readonly action: string;
    readonly resource: string;
  }): Promise<string> {
    if (this.#isEnded) throw new TrustWardenError("identity_revoked");
    const asked = { action, resource, params: null, job: null };
    return agentAct(this.#session, asked, async ({ receipt }) => receipt.receipt.event_id);
  }

  /** Ends the instance everywhere and closes it here. */
  async revoke(reason: string): Promise<void> {
    // Our own word needs no echo.
    this.#lease.close();
    await this.#session.call({
      action: "revoke:instance",
      listener: "stop",
      method: "POST",
      target: "/v1/revocations",
      body: encodeBody({ target: { kind: "instance", id: this.answer.instance_id }, reason }),
      schema: revocationAnswer,
    });
  }

  /** Renews now. @throws TrustWardenError the server's refusal. */
  renew(): Promise<void> {
    return this.#session.holder.renew();
  }

  /** Resolves when revocations are heard. */
  ready(): Promise<void> {
    return this.#lease.ready();
  }

  async close(): Promise<void> {
    clearTimeout(this.#confirming);
    this.#lease.close();
    await this.#session.close();
  }

  #openLease(): Lease {
    const { server } = this;
    return createLease({
      stopUrl: server.discovery.stop_url,
      peer: server.peerCheck(() => this.#session.holder.presented),
      runtime: this.#runtime,
      headers: () => this.#session.leaseHeaders(),
      follower: {
        onTargets: (targets) => this.#onTargets(targets),
        onConnected: (epoch) => {
          const isBehind = this.#epoch !== undefined && this.#epoch !== epoch;
          this.#epoch = epoch;
          // What was revoked in between was not told on any connection of ours.
          if (isBehind) this.#confirmSoon();
        },
        onRefused: () => void this.#confirm(),
      },
    });
  }

  #onTargets(targets: readonly RevocationTarget[]): void {
    const { instance_id, chain } = this.answer;
    const ids = [instance_id, ...chain.map((link) => link.replace(/^owner:/, ""))];
    const isDead = targets.some((target) => isDeathOf(target, ids));
    if (isDead) this.#end();
    // An ancestor's instance is not in our chain of agents: the server knows.
    else if (targets.some(({ kind }) => kind === "instance")) this.#confirmSoon();
    if (targets.some(({ kind }) => kind === "authority" || kind === "federation")) void this.#refresh();
  }

  #confirmSoon(): void {
    this.#confirming ??= setTimeout(() => {
      this.#confirming = undefined;
      void this.#confirm();
    }, CONFIRM_SPREAD_MS * jitter(this.#runtime)).unref();
  }

  /** Asks the server whether the instance still lives. Silence is no answer: the SVID at hand ends by itself. */
  async #confirm(): Promise<void> {
    if (this.#isEnded) return;
    try {
      await this.server.refresh();
      await this.#session.call({
        action: "read:ledger",
        method: "GET",
        target: "/v1/events?limit=1",
        schema: ANYTHING,
      });
    } catch (error) {
      if (error instanceof TrustWardenError && isRefusal(error)) this.#end();
    }
  }

  async #refresh(): Promise<void> {
    try {
      await this.server.refresh();
      await this.renew();
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      this.#runtime.notify({
        code: error.code,
        what: "The authorities could not be read again.",
        details: {},
      });
    }
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#confirming);
    this.#lease.close();
    this.#events.onRevoked();
  }
}

/** One of the two identities of a launched process. */
export interface HeldIdentity {
  readonly identity: NamedIdentity;
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** Unencrypted PKCS#8. */
  readonly keyPkcs8: Uint8Array;
}

/** Only that there is an answer counts. */
const ANYTHING = { parse: (value: unknown): unknown => value };

/** Owns the readable keys: those in use, of the instance and its class, and those of a renewal under way. */
class KeyRing {
  readonly #keys = new Map<string, DeliveredKey>();

  create(): InstanceKey {
    const key = createDeliveredKey();
    this.#keys.set(key.key.thumbprint, key);
    return key.key;
  }

  get(thumbprint: string): Uint8Array {
    const key = this.#keys.get(thumbprint);
    if (key === undefined) throw new Error("a credential whose key was not made here");
    return key.pkcs8;
  }

  keepOnly({ key, ofClass }: Credential): void {
    const kept = [key.thumbprint, ofClass?.key.thumbprint];
    for (const known of this.#keys.keys()) if (!kept.includes(known)) this.#keys.delete(known);
  }
}

async function enrolDelivered(options: {
  readonly held: HeldEnrolment;
  readonly keys: KeyRing;
  readonly key: InstanceKey;
  readonly expected: Parameters<typeof requireIssuedAs>[1];
  readonly events: DeliveredEvents;
  readonly composition?: (() => Composition) | undefined;
  readonly runtime: Runtime;
}): Promise<DeliveredIdentity> {
  const { held, keys, key, expected, events, composition, runtime } = options;
  const server = await connectServer(held.address, runtime);
  const { envelope } = held;
  const declared = { composition: composition?.(), custody: "delivered" as const };
  const enrolled = await enrol({ server, key, classKey: keys.create(), envelope, runtime, ...declared });
  const agentId = requireIssuedAs(enrolled.answer, expected);
  return new DeliveredIdentity({ enrolled, agentId, keys, server, events, composition, runtime });
}

function isRefusal({ details }: TrustWardenError): boolean {
  return details.status === 401 || details.status === 403;
}
