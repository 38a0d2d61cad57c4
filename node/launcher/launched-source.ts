/**
 * The source of identities of one launched process: one instance and then its class, for whoever the binding says it is.
 *
 * Everybody else that reaches the socket gets what a process without any entry gets. When the instance is revoked, every
 * stream ends with that same refusal.
 */
import { parseSpiffeId, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson } from "@trustwarden/core/json.ts";
import type { DeliveredIdentity } from "trustwarden/peer.ts";
import type {
  InstanceDescription,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
  WorkloadSubscription,
} from "../ports.ts";
import { formatPrivateJwk, WitKeys } from "../wit-keys.ts";
import type { Binding } from "./binding.ts";

/** The instance's is the default one. */
const HINTS = { instance: "instance", class: "class" } as const;

interface Subscriber {
  readonly onState: (state: WorkloadState) => void;
  readonly onEnd: (error: unknown) => void;
}

/** Owns the streams of one launched process. */
export class LaunchedSource implements WorkloadSource {
  readonly #identity: DeliveredIdentity;
  readonly #binding: () => Binding | undefined;
  readonly #subscribers = new Set<Subscriber>();
  readonly #witKeys = new WitKeys({ monotonicMs: () => performance.now() });
  #isEnded = false;

  /** @param options.binding - undefined until the process runs; nobody belongs before. */
  constructor(options: {
    readonly identity: DeliveredIdentity;
    readonly binding: () => Binding | undefined;
  }) {
    this.#identity = options.identity;
    this.#binding = options.binding;
  }

  async subscribe(
    peer: WorkloadPeer,
    onState: Subscriber["onState"],
    onEnd: Subscriber["onEnd"],
  ): Promise<WorkloadSubscription> {
    this.#requireBelongs(peer);
    const subscriber = { onState, onEnd };
    const state = this.#state();
    this.#subscribers.add(subscriber);
    onState(state);
    return { close: () => void this.#subscribers.delete(subscriber) };
  }

  async issueJwtSvids(
    peer: WorkloadPeer,
    { audience, spiffeId }: { readonly audience: readonly string[]; readonly spiffeId: SpiffeId | null },
  ) {
    this.#requireBelongs(peer);
    const wanted = this.#wanted(spiffeId);
    const [first, ...more] = audience;
    // One token an audience is what an agent may ask for; a token for several would be accepted by each of them.
    if (first === undefined || more.length > 0)
      throw new TrustWardenError("request_malformed", { reason: "one audience" });
    const requests = wanted.map(async ({ identity, spiffeId: id }) => ({
      spiffeId: id,
      svid: await this.#identity.jwt(first, identity),
      hint: HINTS[identity],
    }));
    return Promise.all(requests);
  }

  isWitServed() {
    return this.#identity.server.discovery.wit_svid;
  }

  async issueWitSvids(peer: WorkloadPeer, { spiffeId }: { readonly spiffeId: SpiffeId | null }) {
    this.#requireBelongs(peer);
    const requests = this.#wanted(spiffeId).map(async ({ identity, spiffeId: id }) => {
      const key = this.#witKeys.keyOf(id);
      const { svid, expires_at: expiresAt } = await this.#identity.wit(key.key, identity);
      return { spiffeId: id, svid, expiresAt, keyJwk: formatPrivateJwk(key), hint: HINTS[identity] };
    });
    return Promise.all(requests);
  }

  bundles() {
    return this.#identity.server.knownBundles();
  }

  async describe(peer: WorkloadPeer): Promise<readonly InstanceDescription[]> {
    const { strength } = this.#requireBelongs(peer);
    const { answer } = this.#identity;
    const { credential } = this.#current();
    return [
      {
        spiffeId: parseSpiffeId(answer.spiffe_id),
        instanceId: answer.instance_id,
        agentId: answer.agent_id ?? "",
        chain: answer.chain,
        chainSha256: encodeBase64url(sha256(encodeCanonicalJson([...answer.chain]))),
        scope: answer.scope,
        strength,
        svidExpiresAt: credential.expiresAt,
        instanceExpiresAt: answer.instance_expires_at,
        hint: HINTS.instance,
      },
    ];
  }

  async grant(
    peer: WorkloadPeer,
    { request, parent }: { readonly request: string; readonly parent: string },
  ): Promise<string> {
    this.#requireBelongs(peer);
    this.#current();
    if (parent !== "" && parent !== this.#identity.answer.instance_id)
      throw new TrustWardenError("no_identity", { pid: peer.pid });
    return this.#identity.grant(request);
  }

  async decide(
    peer: WorkloadPeer,
    asked: { readonly action: string; readonly resource: string },
  ): Promise<string> {
    this.#requireBelongs(peer);
    this.#current();
    return this.#identity.decide(asked);
  }

  /** Tells every stream what there is now; a state that cannot be made ends them. */
  publish(): void {
    for (const subscriber of [...this.#subscribers]) {
      try {
        subscriber.onState(this.#state());
      } catch (error) {
        subscriber.onEnd(error);
      }
    }
  }

  /** Ends every stream; whoever comes after, such as a child that was left behind, gets nothing. */
  end(error: TrustWardenError): void {
    this.#isEnded = true;
    for (const { onEnd } of [...this.#subscribers]) onEnd(error);
    this.#subscribers.clear();
  }

  #state(): WorkloadState {
    const svids = this.#current().identities.map(({ identity, ...svid }) => ({
      ...svid,
      hint: HINTS[identity],
    }));
    return { svids, bundles: this.bundles() };
  }

  /** The identities that tokens are asked of; all without an id. */
  #wanted(spiffeId: SpiffeId | null) {
    const { identities } = this.#current();
    const wanted = identities.filter((one) => spiffeId === null || one.spiffeId === spiffeId);
    if (wanted.length === 0) throw new TrustWardenError("no_identity");
    return wanted;
  }

  /** An instance that was stopped, or has run out, is no identity any more. */
  #current(): ReturnType<DeliveredIdentity["current"]> {
    try {
      return this.#identity.current();
    } catch (cause) {
      throw new TrustWardenError("no_identity", {}, { cause });
    }
  }

  #requireBelongs(peer: WorkloadPeer): Binding {
    const binding = this.#binding();
    if (this.#isEnded || binding?.belongs(peer) !== true)
      throw new TrustWardenError("no_identity", { pid: peer.pid });
    return binding;
  }
}
