/**
 * An agent's identity in its own process: made before the agent does anything, used for everything it does.
 *
 * The private keys behind it never leave the process and are not shown: what a log, a serialiser or an inspector sees
 * of an identity is its id. What it can do is in the files named after it (`agent-fetch.ts`, `agent-act.ts`).
 */

import { inspect } from "node:util";
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import type { Limits } from "@trustwarden/core/agentid/delegation.ts";
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { type RevocationAnswer, revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { agentAct } from "./agent-act.ts";
import { signAgentCard, verifyAgentCard } from "./agent-card.ts";
import { type AgentFetchInit, agentFetch } from "./agent-fetch.ts";
import { AgentSession, type KeptReceipt } from "./agent-session.ts";
import type { WaitForApprovalOptions } from "./approvals.ts";
import { type AttestOptions, enrolByEvidence } from "./attest.ts";
import { type RegisterOptions, waitToBeClaimed } from "./claim.ts";
import type { Credential } from "./credential.ts";
import { type Enrolled, enrol, readGrant, readTicket } from "./enrol.ts";
import { ticketFromEnvironment } from "./environment.ts";
import {
  enrolForeign,
  type FromSvidOptions,
  nextForeignCredential,
  readRegistration,
} from "./foreign-identity.ts";
import {
  type ChildOptions,
  formatRequest,
  issueGrantFor,
  parseRequest,
  requestedFrom,
  requireIssuedAs,
  requireTicketFor,
} from "./grant.ts";
import { createInstanceKey, type InstanceKey } from "./instance-key.ts";
import { LiveIdentities } from "./live-identities.ts";
import { type Place, placeAt, placeOf } from "./place.ts";
import { nowSeconds, type Runtime, systemRuntime } from "./runtime.ts";
import { encodeBody } from "./trust-server.ts";
import { type AgentWit, fetchWit } from "./wit.ts";

/** What an agent is to be. */
export interface CreateOptions {
  readonly name: string;
  /** Permissions `verb:type[:path]`; without a parent, the ticket's when absent. */
  readonly scope?: readonly string[];
  /** Lifetime of the instance, such as `1h`; SVIDs are renewed within it. */
  readonly ttl?: string;
  readonly limits?: Partial<Limits>;
  /** SHA-256 digests (base64url) of what the agent is made of; bound to the instance for its life. */
  readonly composition?: Composition;
  /** A live identity of this process, or its id. */
  readonly parent?: string | AgentIdentity;
  /** A `TRUSTWARDEN_TICKET` value; the variable itself when absent. */
  readonly ticket?: string;
  readonly runtime?: Runtime;
}

/** A child's request to a parent in another process, and the key it is for. */
export interface IdentityRequest {
  /** Hand this to the parent; it holds no secret. */
  readonly text: string;
  /** Becomes the identity that the parent granted. @param grant - what `parent.grant(text)` gave. */
  readonly complete: (grant: string) => Promise<AgentIdentity>;
}

const live = new LiveIdentities<AgentIdentity>();

/** A live instance of an agent. Close it when its work is done. */
export class AgentIdentity {
  readonly #enrolled: Enrolled;
  readonly #session: AgentSession;
  readonly #place: Place;
  #closing: Promise<void> | undefined;

  private constructor(
    enrolled: Enrolled,
    agentId: string,
    place: Place,
    renew?: (current: Credential) => Promise<Credential>,
  ) {
    this.#enrolled = enrolled;
    this.#place = place;
    const { server, runtime } = place;
    this.#session = new AgentSession({ enrolled, agentId, server, runtime, ...(renew && { renew }) });
    live.add(this, nowSeconds(place.runtime));
  }

  /**
   * Creates an instance of an agent: with its owner's ticket, or as the child of a live identity of this process.
   *
   * @throws TrustWardenError `ticket_missing`, `ticket_mismatch`, `parent_proof_missing`, `scope_not_subset` (its
   *   details name an action that the parent could not do) and the server's other refusals, `server_untrusted`,
   *   `server_unreachable`.
   */
  static async create(options: CreateOptions): Promise<AgentIdentity> {
    const { parent, runtime = systemRuntime } = options;
    if (parent !== undefined) return live.get(parent, nowSeconds(runtime)).spawn(requestedFrom(options));
    const ticket = readTicket(options.ticket ?? ticketFromEnvironment());
    const expected = requireTicketFor(options, ticket.unverified);
    const connecting = placeOf(ticket, runtime);
    // Made while the handshake is under way.
    const key = createInstanceKey();
    const place = await connecting;
    const { composition } = options;
    return AgentIdentity.#enrol({ place, key, envelope: ticket.envelope, expected, composition });
  }

  /**
   * Starts an identity whose parent lives in another process. The new key stays here.
   *
   * @throws TrustWardenError `name_malformed`, `scope_malformed`, `ttl_malformed`.
   */
  static request(options: ChildOptions & { readonly runtime?: Runtime }): IdentityRequest {
    const { runtime = systemRuntime, composition } = options;
    const key = createInstanceKey();
    const { text, expected } = formatRequest(options, key.thumbprint);
    const complete = async (grantText: string): Promise<AgentIdentity> => {
      const grant = readGrant(grantText);
      const place = await placeOf(grant, runtime);
      return AgentIdentity.#enrol({ place, key, envelope: grant.envelope, expected, composition });
    };
    return { text, complete };
  }

  /**
   * The identity of a workload of a federated trust domain that its owner registered here: acts with the SVID that its
   * own issuer gives it. It has no children, and gets no SVID or token from this server.
   *
   * @throws TrustWardenError `entry_invalid` for the registration, `svid_mismatch`, `svid_key_refused`,
   *   `trust_domain_unknown` and the other codes of a chain, `server_untrusted`, `server_unreachable`; and whatever
   *   the source of SVIDs throws.
   */
  static async fromSvid(options: FromSvidOptions): Promise<AgentIdentity> {
    const { registration, svid: source, runtime = systemRuntime } = options;
    const registered = readRegistration(registration);
    const place = await placeOf(registered, runtime);
    const { server } = place;
    const enrolled = await enrolForeign(registered, source, { server, runtime });
    const { answer } = enrolled;
    return new AgentIdentity(enrolled, registered.value.agentId, place, () =>
      nextForeignCredential({ answer, source, server, runtime }),
    );
  }

  /**
   * Creates an instance of the agent that a registration entry makes of this process, by evidence of its platform.
   *
   * @throws TrustWardenError `evidence_unavailable`, `entry_not_matched` and the server's other refusals,
   *   `server_untrusted`, `server_unreachable`.
   */
  static async attest(options: AttestOptions): Promise<AgentIdentity> {
    const { runtime = systemRuntime } = options;
    const place = await placeAt(options, runtime);
    const key = createInstanceKey();
    const { server } = place;
    const { enrolled, agentId } = await enrolByEvidence({ server, key, wanted: options, runtime });
    return new AgentIdentity(enrolled, agentId, place);
  }

  /**
   * Registers an agent that nobody has permitted yet, and waits until somebody who is shown its claim code has. The agent then
   * has what that owner signed, which may be less than was asked for.
   *
   * @throws TrustWardenError `claim_unknown` when nobody answered in time, `registration_costly`, the codes of a name or scope,
   *   `ticket_mismatch`, `server_untrusted`, `server_unreachable`; the signal's reason.
   */
  static async register(options: RegisterOptions): Promise<AgentIdentity> {
    const { runtime = systemRuntime, composition } = options;
    const place = await placeAt(options, runtime);
    const key = createInstanceKey();
    const { envelope, expected } = await waitToBeClaimed({ server: place.server, key, wanted: options });
    return AgentIdentity.#enrol({ place, key, envelope, expected, composition });
  }

  static async #enrol(options: {
    readonly place: Place;
    readonly key: InstanceKey;
    readonly envelope: string;
    readonly expected: Parameters<typeof requireIssuedAs>[1];
    readonly composition: Composition | undefined;
  }): Promise<AgentIdentity> {
    const { place, key, envelope, expected, composition } = options;
    const { server, runtime } = place;
    const enrolled = await enrol({ server, key, envelope, composition, runtime });
    const agentId = requireIssuedAs(enrolled.answer, expected);
    return new AgentIdentity(enrolled, agentId, place);
  }

  /** SPIFFE ID of this instance. */
  get id(): string {
    return this.#enrolled.answer.spiffe_id;
  }

  /** `agt_…` of the agent that this is an instance of. */
  get agentId(): string {
    return this.#enrolled.answer.agent_id ?? "";
  }

  /** `inst-…` */
  get instanceId(): string {
    return this.#enrolled.answer.instance_id;
  }

  get name(): string {
    return this.#enrolled.answer.name;
  }

  /** As issued, canonical; what is effective is decided along the whole chain at each action. */
  get scope(): readonly string[] {
    return this.#enrolled.answer.scope;
  }

  /** `owner:<id>`, then agent ids from the root down to this one. */
  get chain(): readonly string[] {
    return this.#enrolled.answer.chain;
  }

  /** End of the instance, Unix seconds. */
  get expiresAt(): number {
    return this.#enrolled.answer.instance_expires_at;
  }

  /** End of the SVID at hand, Unix seconds; renewed at half life. */
  get svidExpiresAt(): number {
    return this.#session.holder.current().expiresAt;
  }

  /** Whether the lifetime asked for was cut to what the parent had left. */
  get ttlShortened(): boolean {
    return this.#enrolled.answer.ttl_shortened;
  }

  /** Proven receipts of recent actions, oldest first; a bounded list. */
  get receipts(): readonly KeptReceipt[] {
    return this.#session.receipts;
  }

  /** Makes a child in this process. @throws TrustWardenError as `create`. */
  async spawn(child: ChildOptions): Promise<AgentIdentity> {
    const key = createInstanceKey();
    const { envelope, expected } = this.#issueGrant(child, key.thumbprint);
    const { composition } = child;
    return AgentIdentity.#enrol({ place: this.#place, key, envelope, expected, composition });
  }

  /**
   * Grants what a child in another process requested, for the next minute and once.
   *
   * @param request - the text of `AgentIdentity.request`.
   * @throws TrustWardenError `request_malformed` and the codes of its members, `identity_closed`, `identity_expired`.
   */
  async grant(request: string): Promise<string> {
    const { child, thumbprint } = parseRequest(request);
    return this.#issueGrant(child, thumbprint).text;
  }

  /**
   * One request to a service or through the gateway, with a signed intent; see `AgentFetchInit`. Bound to this identity, so
   * that it can be handed to a library that takes a `fetch`.
   *
   * @throws TrustWardenError as `agentFetch`.
   */
  readonly fetch = (url: string | URL | Request, init?: AgentFetchInit): Promise<Response> =>
    agentFetch({ session: this.#session, routes: this.#place.routes }, url, init);

  /**
   * Does something in this process that no service guards: decided before, reported after (`enforcement: self`).
   *
   * @param params - only a salted commitment of them leaves the process.
   * @throws TrustWardenError `denied`, `lease_expired`; and whatever `act` throws.
   */
  act<T>(
    action: string,
    resource: string,
    params: JsonObject | null,
    act: () => Promise<T>,
    { approval, job = null }: { readonly approval?: string; readonly job?: string | null } = {},
  ): Promise<T> {
    return agentAct(this.#session, { action, resource, params, approval, job }, act);
  }

  /**
   * Asks the owner about a call that ended with `approval_required`, and waits for the answer. Then make exactly the same
   * call again with `approval` set to what this resolves to.
   *
   * @param request - `details.request` of the error.
   * @throws TrustWardenError `approval_denied`, `approval_expired`, `approvals_pending`, and the server's refusals.
   */
  waitForApproval(request: string, options?: WaitForApprovalOptions): Promise<string> {
    return this.#session.questions.wait(this.#session, request, options);
  }

  /**
   * Ends this identity and everything below it, or one descendant and everything below that. Resolves when every
   * service has confirmed or lost its lease.
   *
   * @throws TrustWardenError `denied` for anything that is no descendant.
   */
  async revoke(
    target?: string | { readonly child: string | AgentIdentity; readonly reason?: string },
  ): Promise<RevocationAnswer> {
    const isSelf = target === undefined || typeof target === "string";
    const child = isSelf ? this : target.child;
    const reason = isSelf ? (target ?? "") : (target.reason ?? "");
    const id = child instanceof AgentIdentity ? child.instanceId : child;
    const answer = await this.#session.call({
      action: "revoke:instance",
      listener: "stop",
      method: "POST",
      target: "/v1/revocations",
      body: encodeBody({ target: { kind: "instance", id }, reason }),
      schema: revocationAnswer,
    });
    if (isSelf) await this.close();
    return answer;
  }

  /** A JWT-SVID for one audience, for systems that take no certificate; our own services refuse it. */
  async jwt(audience: string): Promise<string> {
    const { svid } = await this.#session.call({
      action: "issue:jwt-svid",
      method: "POST",
      target: "/v1/jwt-svids",
      body: encodeBody({ audience }),
      schema: jwtSvidAnswer,
    });
    return svid;
  }

  /** A WIT-SVID with a new key: for services that ask for proof of possession. It lives for minutes; ask again. */
  async wit(): Promise<AgentWit> {
    const key = createInstanceKey();
    const { svid: token, expires_at: expiresAt } = await fetchWit(this.#session, key);
    return { token, signer: key.signer, thumbprint: key.thumbprint, expiresAt };
  }

  /** An A2A card, signed by this instance; sign again when the SVID is renewed. @throws TrustWardenError `agent_card_malformed`. */
  signAgentCard(card: JsonObject): JsonObject {
    return signAgentCard(this.#session, card);
  }

  /** The SPIFFE ID of who published an A2A card. @throws TrustWardenError `agent_card_malformed`, `signature_invalid`. */
  verifyAgentCard(card: JsonObject): string {
    return verifyAgentCard(this.#session, card);
  }

  /**
   * Calls a listener once when this identity is stopped, within a second while the server can be reached: for work that
   * has begun and would learn it by its next action. Connections to services are closed first. While somebody listens
   * the process asks three times a second. @returns ends the watch.
   */
  whenStopped(listener: () => void): () => void {
    return this.#session.whenStopped(listener);
  }

  /** Takes a new key and SVID now, as happens by itself at half life. @throws TrustWardenError the server's refusal. */
  renew(): Promise<void> {
    return this.#session.holder.renew();
  }

  /** Forgets the key and closes the connections. The identity stays valid until it ends; `revoke` ends it. */
  close(): Promise<void> {
    live.remove(this);
    this.#closing ??= this.#session.close();
    return this.#closing;
  }

  toJSON(): string {
    return this.id;
  }

  [inspect.custom](): string {
    return `AgentIdentity(${this.id})`;
  }

  #issueGrant(child: ChildOptions, thumbprint: string): ReturnType<typeof issueGrantFor> {
    const { answer } = this.#enrolled;
    const { server, runtime } = this.#place;
    return issueGrantFor({
      child,
      thumbprint,
      parent: answer,
      credential: this.#session.holder.current(),
      server,
      runtime,
    });
  }
}
