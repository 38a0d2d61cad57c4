/**
 * What a live agent works with: its credential, its intents, its server, and the receipts it keeps.
 *
 * Shared by everything an identity can do (`fetch`, `act`, `spawn`, `revoke`, `jwt`), none of which keeps state of its
 * own.
 */
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { DecisionRecord } from "@trustwarden/core/event.ts";
import {
  formatParamsCommitment,
  formatRequestCommitment,
  type VerifiedIntent,
} from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { OpenQuestions } from "./approvals.ts";
import type { Credential } from "./credential.ts";
import { type Enrolled, renewCredential } from "./enrol.ts";
import { GatewayCatalogue } from "./gateway-call.ts";
import { createInstanceKey, type InstanceKey } from "./instance-key.ts";
import { IntentWriter } from "./intent-writer.ts";
import { LatestCheckpoint } from "./latest-checkpoint.ts";
import { LEASE_PATH } from "./lease.ts";
import { sendOutcomes } from "./outcome.ts";
import { OutcomeSpool } from "./outcome-spool.ts";
import { type OpenedReceipt, type VerifiedReceipt, verifyOpenedReceipt } from "./receipt.ts";
import { inTurn } from "./renewal-turns.ts";
import type { Runtime } from "./runtime.ts";
import type { ServerCall } from "./server-call.ts";
import { SvidHolder } from "./svid-holder.ts";
import type { TrustServer } from "./trust-server.ts";

/** The most recent ones; who needs all of them asks the ledger. */
const MAX_KEPT_RECEIPTS = 256;
const NO_PARAMS = { params: null, salt: null };
const SALT_BYTES = 32;
/** With the question every 15 seconds, everybody has renewed well within a minute. */
const RENEWAL_SPREAD_MS = 10_000;

/** Header of the intent's envelope, base64url. */
export const INTENT_HEADER = "trustwarden-intent";
/** Header of the 32-byte salt that opens the intent's request commitment, base64url. */
export const SALT_HEADER = "trustwarden-salt";
/** Header of the receipt, base64url. */
export const RECEIPT_HEADER = "trustwarden-receipt";

/** A proven receipt with what the agent needs to show later what it was about. */
export interface KeptReceipt {
  readonly receipt: Receipt;
  readonly allow: boolean;
  readonly reasons: readonly string[];
  readonly action: string;
  readonly resource: string;
  readonly params: JsonObject | null;
  /** base64url; opens the intent's commitment to `params`. Null without parameters. */
  readonly paramsSalt: string | null;
}

/** An action that the agent is about to ask for. */
export interface Asked {
  readonly action: string;
  readonly resource: string;
  readonly params: JsonObject | null;
  /** SPIFFE ID of the enforcement point. */
  readonly audience: string;
  /** What several instances work on together; what one of them reads counts for all. Null for none. */
  readonly job: string | null;
  /** Null for an act in this process. */
  readonly request: { readonly method: string; readonly target: string; readonly body: Uint8Array } | null;
}

/** A signed action and the credential that must carry it. */
export interface SignedAction {
  readonly asked: Asked;
  readonly credential: Credential;
  readonly intent: VerifiedIntent;
  readonly paramsSalt: string | null;
  /** base64url; opens the intent's commitment to the request. Null for an act in this process. */
  readonly requestSalt: string | null;
  /** Empty for an act in this process. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One call to the server's own API in the agent's name. */
export interface AgentCall<T> extends Omit<ServerCall<T>, "agent" | "headers"> {
  /** The control action of the route, such as `revoke:instance`. */
  readonly action: string;
}

/** State of one live instance. */
export class AgentSession {
  readonly server: TrustServer;
  readonly runtime: Runtime;
  readonly holder: SvidHolder;
  readonly outcomes: OutcomeSpool;
  /** What this agent knows of the gateway. */
  readonly gateway: GatewayCatalogue = new GatewayCatalogue(this);
  /** What the policy wants this agent's owner to be asked. */
  readonly questions = new OpenQuestions();
  readonly #writer: IntentWriter;
  readonly #createKey: () => InstanceKey;
  readonly #hasClass: boolean;
  readonly #composition: (() => Composition) | undefined;
  readonly #receipts: KeptReceipt[] = [];
  readonly #unfollow: () => void;
  /** Ends what waits for a stop of this instance. */
  readonly #unwatch = new Set<() => void>();
  #isClosed = false;
  #isStopped = false;

  constructor(options: {
    readonly enrolled: Enrolled;
    readonly agentId: string;
    readonly server: TrustServer;
    readonly runtime: Runtime;
    /** Where the next credential comes from; the server unless given. */
    readonly renew?: (current: Credential) => Promise<Credential>;
    /** Makes each key of a renewal; one that nobody can read unless given. */
    readonly createKey?: () => InstanceKey;
    /** What the agent is made of now, declared again with each renewal. */
    readonly composition?: (() => Composition) | undefined;
    readonly onRenewed?: (credential: Credential) => void;
  }) {
    const { enrolled, server, runtime } = options;
    const checkpoint = new LatestCheckpoint({
      read: () => server.readText("/ledger/latest-checkpoint"),
      verify: (note) => server.ledgerKeys.verifyCheckpoint(note),
      runtime,
    });
    this.server = server;
    this.runtime = runtime;
    this.#createKey = options.createKey ?? createInstanceKey;
    this.#hasClass = enrolled.credential.ofClass !== undefined;
    this.#composition = options.composition;
    this.#writer = new IntentWriter({ agentId: options.agentId, runtime, seen: () => checkpoint.seen() });
    const agent = () => this.holder.current().serverAgent;
    this.outcomes = new OutcomeSpool({
      send: (outcomes) => sendOutcomes(server, agent(), outcomes),
      runtime,
    });
    this.holder = new SvidHolder({
      first: enrolled.credential,
      renew: options.renew ?? ((current) => this.#renew(current)),
      instanceExpiresAt: enrolled.answer.instance_expires_at,
      ...(options.onRenewed && { onRenewed: options.onRenewed }),
      runtime,
    });
    server.retain();
    this.#unfollow = server.onAuthority(() => {
      if (server.mustRenew(this.holder.leaf)) this.holder.renewSoon({ spreadMs: RENEWAL_SPREAD_MS });
    });
  }

  /** The receipts kept, oldest first. */
  get receipts(): readonly KeptReceipt[] {
    return [...this.#receipts];
  }

  /** Signs the next intent with the current credential. @throws TrustWardenError `identity_closed`, `identity_expired`. */
  sign(asked: Asked, credential: Credential = this.holder.current()): SignedAction {
    const { request, params, action, resource, audience } = asked;
    const salt = this.runtime.random(SALT_BYTES);
    const committed = params === null ? NO_PARAMS : commitTo(params, this.runtime.random(SALT_BYTES));
    const { id, leaf } = credential.svid;
    const intent = this.#writer.sign(
      {
        action,
        resource,
        audience,
        request: request && formatRequestCommitment(request, salt),
        params: committed.params,
        job: asked.job,
      },
      { spiffeId: id, svidSha256: leaf.sha256, signer: credential.key.signer },
    );
    const headers = request === null ? {} : formatIntentHeaders(intent.envelope, salt);
    const requestSalt = request === null ? null : encodeBase64url(salt);
    return { asked, credential, intent, headers, paramsSalt: committed.salt, requestSalt };
  }

  /** Calls a route of the server's API with an intent bound to exactly this call. */
  call<T>(call: AgentCall<T>): Promise<T> {
    const { action, ...rest } = call;
    return this.server.withServerId((audience) => {
      const credential = this.holder.current();
      const { headers } = this.#signCall(call, { credential, audience });
      return this.server.call({ ...rest, agent: credential.serverAgent, headers });
    });
  }

  /** Whether this process has heard that the instance was stopped; nobody looks while nobody listens. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Closes the connections to services and calls the listener when the instance is stopped. @returns ends the watch. */
  whenStopped(listener: () => void): () => void {
    const unwatch = this.server.stops.watch(
      () => this.holder.leaf.serialHex,
      () => {
        this.#isStopped = true;
        this.holder.cutVisits();
        listener();
      },
    );
    this.#unwatch.add(unwatch);
    if (this.#isClosed) unwatch();
    return () => {
      this.#unwatch.delete(unwatch);
      unwatch();
    };
  }

  /** Headers that open this instance's own lease: an intent for exactly that upgrade. */
  leaseHeaders(): Readonly<Record<string, string>> {
    const call = { action: "hold:lease", method: "GET", target: LEASE_PATH } as const;
    const audience = this.server.discovery.server_id;
    return this.#signCall(call, { credential: this.holder.current(), audience }).headers;
  }

  /**
   * Proves a receipt about an action of ours and keeps it.
   *
   * @throws TrustWardenError `receipt_invalid`.
   */
  async keepReceipt(
    opened: OpenedReceipt,
    {
      signed,
      enforcement,
    }: { readonly signed: SignedAction; readonly enforcement: DecisionRecord["enforcement"] },
  ): Promise<VerifiedReceipt> {
    const { receipt } = opened;
    const server = await this.server.findServerSvid(opened.envelope.unverifiedKeyid);
    const intentSha256 = signed.intent.sha256;
    const verified = await this.server.ledgerKeys.withKeyAt(receipt.decision_index, ({ key: logVkey }) =>
      verifyOpenedReceipt(opened, { server, logVkey, intentSha256, enforcement }),
    );
    const { action, resource, params } = signed.asked;
    const { allow, reasons } = verified.decision;
    this.#receipts.push({ receipt, allow, reasons, action, resource, params, paramsSalt: signed.paramsSalt });
    if (this.#receipts.length > MAX_KEPT_RECEIPTS) this.#receipts.shift();
    return verified;
  }

  /** Reports what waits, and lets go of keys and connections. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unfollow();
    for (const unwatch of this.#unwatch) unwatch();
    await this.outcomes.close();
    this.holder.close();
    this.server.release();
  }

  #signCall(
    call: Pick<AgentCall<unknown>, "action" | "method" | "target" | "body">,
    { credential, audience }: { readonly credential: Credential; readonly audience: string },
  ): SignedAction {
    const { action, method, target, body = new Uint8Array() } = call;
    const path = target.split("?", 1)[0] ?? target;
    const resource = `trustwarden://${this.server.trustDomain}${path}`;
    return this.sign(
      { action, resource, audience, params: null, job: null, request: { method, target, body } },
      credential,
    );
  }

  #renew(current: Credential): Promise<Credential> {
    const { server, runtime } = this;
    const route = { action: "renew:svid", method: "POST", target: "/v1/svids/renew" } as const;
    const sign = (body: Uint8Array) => {
      const audience = server.discovery.server_id;
      return this.#signCall({ ...route, body }, { credential: current, audience }).headers;
    };
    return inTurn(server.watchKey, () =>
      renewCredential({
        ...{ server, current, key: this.#createKey(), runtime, sign },
        classKey: this.#hasClass ? this.#createKey() : undefined,
        composition: this.#composition?.(),
      }),
    );
  }
}

function commitTo(params: JsonObject, salt: Uint8Array): { readonly params: string; readonly salt: string } {
  return { params: formatParamsCommitment(params, salt), salt: encodeBase64url(salt) };
}

function formatIntentHeaders(envelope: string, salt: Uint8Array): Readonly<Record<string, string>> {
  return { [INTENT_HEADER]: encodeBase64url(encodeUtf8(envelope)), [SALT_HEADER]: encodeBase64url(salt) };
}
