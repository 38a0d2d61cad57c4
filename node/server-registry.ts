/**
 * The node's registry over its kept mTLS connection to the server.
 *
 * Makes the workloads' keys, proves their possession, and checks every SVID that comes back before anybody gets it: an
 * answer for another key, another id or another trust domain never leaves this file.
 */
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import type { Certificate } from "@trustwarden/core/agentid/certificate.ts";
import { formatComposition, selectorsOfComposition } from "@trustwarden/core/agentid/composition.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import type { Selector } from "@trustwarden/core/agentid/selector.ts";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { classIdOf, parseSpiffeId, pathOf, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { witSvidAnswer } from "@trustwarden/core/api/identity.ts";
import {
  MAX_RENEWALS,
  type NodeEntriesAnswer,
  type NodeIdentityAnswer,
  type NodeRenewalsAnswer,
  nodeEntriesAnswer,
  nodeIdentityAnswer,
  nodeJwtAnswer,
  nodeRenewalsAnswer,
} from "@trustwarden/core/api/registration.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { encodeBase64url, encodeHex, parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import {
  createDeliveredKey,
  type DeliveredKey,
  encodeBody,
  inTurn,
  issueGrantFor,
  nowSeconds,
  openDeliveredKey,
  parseRequest,
  proveForSvid,
  type Runtime,
  refusalOf,
  type SvidHolder,
  type TrustServer,
  verifyIssuedSvid,
  verifyIssuedWit,
} from "trustwarden/peer.ts";
import type { Measure } from "./composition-file.ts";
import { formatAgent, parseNodeEntries } from "./entries.ts";
import type { IssuedInstance, IssuedSvid, Registry } from "./registry.ts";
import { RenewalBatches } from "./renewal-batches.ts";

/** Issuing waits for durable writes. */
const ISSUE_TIMEOUT_MS = 15_000;
/** A child's request says what it may hand on. */
const NOTHING_OF_ITS_OWN = { depth: 0, fan_out: 0, budget: 0 } as const;
const RENEWALS_PATH = "/v1/node/renewals";
/** A page has at least one entry; more pages than this is a server that never ends. */
const MAX_PAGES = 1000;

/** What the adapter works with. */
export interface ServerRegistryOptions {
  readonly server: TrustServer;
  /** The node's own SVID. */
  readonly holder: SvidHolder;
  /** What agents of this host are made of, by `path/name`; asked at each issuance and renewal. */
  readonly compositions: ReadonlyMap<string, Measure>;
  readonly runtime: Runtime;
}

/** Keys of one issuance: the class's own key beside the instance's. */
interface KeyPair {
  readonly instance: DeliveredKey;
  readonly class: DeliveredKey;
}

/** What a node reads of an issuance; a promise of the event's place it keeps of none. */
type IssuedAnswer = Omit<NodeIdentityAnswer, "acknowledgement">;

interface Issuance {
  readonly uid: number;
  readonly target: string;
  readonly enrolmentSha256: string;
  /** Made when its turn has come: what an agent is made of is measured then. */
  readonly request: () => JsonObject;
}

/** Owns what was last read of federated bundles. */
export class ServerRegistry {
  readonly #options: ServerRegistryOptions;
  readonly #renewals: RenewalBatches<IssuedInstance, IssuedInstance>;
  #federated: readonly TrustBundle[] = [];

  constructor(options: ServerRegistryOptions) {
    this.#options = options;
    const { server } = options;
    this.#renewals = new RenewalBatches({
      accountOf: ({ uid }) => String(uid),
      max: () => Math.min(server.discovery.renewals, MAX_RENEWALS),
      ask: (due) => this.#inTurn("renewals", () => this.#renew(due)),
    });
  }

  /** The port. */
  get registry(): Registry {
    return {
      entries: () => this.#entries(),
      createInstance: async (entry, { selectors, facts }) =>
        this.#issue({
          uid: facts.uid,
          target: "/v1/node/instances",
          enrolmentSha256: entry.enrolmentSha256,
          request: () => ({
            entry_id: entry.entryId,
            selectors: [...formatSelectors(selectors)],
            facts: { ...facts },
            composition: this.#compositionOf(formatAgent(entry)),
            custody: "delivered",
          }),
        }),
      renewInstance: (instance) => this.#renewInstance(instance),
      issueJwt: async ({ uid, instanceId }, { audience, identity }) => {
        const body = { instance_id: instanceId, audiences: [...audience], identity };
        const answer = await this.#inTurn(uid, () => this.#post("/v1/node/jwt-svids", body, nodeJwtAnswer));
        return { svid: answer.svid, expiresAt: answer.expires_at };
      },
      isWitServed: () => this.#options.server.discovery.wit_svid,
      issueWit: (instance, request) => this.#inTurn(instance.uid, () => this.#issueWit(instance, request)),
      issueGrant: (instance, asked) => this.#issueGrant(instance, asked),
      endInstance: async (instanceId, reason) => {
        const body = { instance_id: instanceId, reason };
        await this.#inTurn("endings", () => this.#post("/v1/node/endings", body, revocationAnswer));
      },
      refresh: () => this.#refresh(),
      bundles: () => [this.#options.server.bundle, ...this.#federated],
      mustRenew: (instance) => this.#mustRenew(instance),
    };
  }

  async #entries() {
    const entries: NodeEntriesAnswer["entries"][number][] = [];
    let cursor: string | null = null;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query: string = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
      const answer: NodeEntriesAnswer = await this.#options.server.call({
        agent: this.#options.holder.current().serverAgent,
        method: "GET",
        target: `/v1/node/entries${query}`,
        schema: nodeEntriesAnswer,
      });
      entries.push(...answer.entries);
      cursor = answer.next_cursor;
      if (cursor === null) return parseNodeEntries(entries, (agent) => this.#declaredOf(agent));
    }
    throw new TrustWardenError("server_untrusted", { reason: "the list of entries does not end" });
  }

  /**
   * A host that starts a thousand processes is no crowd of connections: a few are kept, and shared by all its agents. Its accounts
   * have their turns, and so have ends of instances, so that none of them waits behind all that another one asks.
   */
  #inTurn<T>(whose: number | "endings" | "renewals", ask: () => Promise<T>): Promise<T> {
    return inTurn(`node ${this.#options.server.watchKey}`, ask, String(whose));
  }

  #issue(options: Issuance): Promise<IssuedInstance> {
    return this.#inTurn(options.uid, () => this.#issueNow(options));
  }

  async #issueNow({ uid, target, ...asked }: Issuance): Promise<IssuedInstance> {
    const keys = createKeys();
    const nonce = await this.#options.server.takeNonce();
    const body = formatAsked({ ...asked, keys, nonce });
    return this.#readIssued(uid, await this.#post(target, body, nodeIdentityAnswer), keys);
  }

  /** A server of before takes them one by one, eight at once. */
  async #renewInstance(instance: IssuedInstance): Promise<IssuedInstance> {
    if (this.#options.server.discovery.renewals > 1) return this.#renewals.renew(instance);
    const [end] = await this.#inTurn(instance.uid, () => this.#renew([instance]));
    if (end?.status !== "fulfilled") throw end?.reason;
    return end.value;
  }

  /** Several renewals in one request, all proofs under one nonce. One that cannot even be asked for holds up none of the others. */
  async #renew(due: readonly IssuedInstance[]): Promise<readonly PromiseSettledResult<IssuedInstance>[]> {
    const nonce = await this.#options.server.takeNonce();
    const asked = due.map((instance) => settled(() => this.#askToRenew(instance, nonce)));
    const renewals = asked.flatMap((one) => (one.status === "fulfilled" ? [one.value.body] : []));
    const answers = renewals.length === 0 ? [] : await this.#postRenewals(renewals);
    let at = 0;
    return asked.map((one) => {
      if (one.status === "rejected") return one;
      const answer = answers[at];
      at += 1;
      return settled(() => {
        if (answer === undefined) throw untrusted("not an answer to each renewal");
        if ("error" in answer) throw refusalOf(answer);
        return this.#readIssued(one.value.uid, answer, one.value.keys);
      });
    });
  }

  #askToRenew({ uid, instanceId, svid }: IssuedInstance, nonce: string) {
    const keys = createKeys();
    const request = () => ({
      instance_id: instanceId,
      composition: this.#compositionOf(agentOfId(svid.spiffeId)),
    });
    return { uid, keys, body: formatAsked({ enrolmentSha256: svid.svidSha256, request, keys, nonce }) };
  }

  async #postRenewals(renewals: readonly JsonObject[]): Promise<NodeRenewalsAnswer["renewals"]> {
    const [only] = renewals;
    // What every server understands, those of before too.
    if (only !== undefined && renewals.length === 1)
      return [await this.#post(RENEWALS_PATH, only, nodeIdentityAnswer)];
    return (await this.#post(RENEWALS_PATH, { renewals }, nodeRenewalsAnswer)).renewals;
  }

  #readIssued(uid: number, answer: IssuedAnswer, keys: KeyPair): IssuedInstance {
    const { server, runtime } = this.#options;
    return { uid, ...readIssued({ answer, keys, server, now: nowSeconds(runtime) }) };
  }

  #compositionOf(agent: string): JsonObject | null {
    const measure = this.#options.compositions.get(agent);
    return measure === undefined ? null : formatComposition(measure());
  }

  #declaredOf(agent: string): readonly Selector[] {
    const measure = this.#options.compositions.get(agent);
    return measure === undefined ? [] : selectorsOfComposition(measure());
  }

  async #issueWit(
    { instanceId, svid, classSvid }: IssuedInstance,
    { identity, key: { key } }: { readonly identity: "instance" | "class"; readonly key: DeliveredKey },
  ) {
    const { server, runtime } = this.#options;
    const id = (identity === "class" ? classSvid : svid)?.spiffeId;
    if (id === undefined) throw new TrustWardenError("no_identity");
    const proof = await proveForSvid({ server, key, svidSha256: svid.svidSha256 });
    const body = { instance_id: instanceId, identity, ...proof };
    const answer = await this.#post("/v1/node/wit-svids", body, witSvidAnswer);
    const proven = await verifyIssuedWit(answer, { server, key, id, runtime });
    return { svid: proven.svid, expiresAt: proven.expires_at };
  }

  #issueGrant(
    { svid }: IssuedInstance,
    { path, request }: { readonly path: string; readonly request: string },
  ): string {
    const { server, runtime } = this.#options;
    const { signer } = openDeliveredKey(svid.keyPkcs8).key;
    return issueGrantFor({
      ...parseRequest(request),
      parent: { path, spiffe_id: svid.spiffeId, limits: NOTHING_OF_ITS_OWN },
      credential: { key: { signer }, svid: { leaf: { sha256: svid.svidSha256 } } },
      server,
      runtime,
    }).text;
  }

  async #post<T>(target: string, body: JsonObject, schema: { parse(value: unknown): T }): Promise<T> {
    const { server, holder } = this.#options;
    const agent = holder.current().serverAgent;
    return server.call({
      agent,
      method: "POST",
      target,
      body: encodeBody(body),
      schema,
      timeoutMs: ISSUE_TIMEOUT_MS,
    });
  }

  async #refresh(): Promise<void> {
    const { server, holder } = this.#options;
    await server.refresh();
    if (this.#isBeingReplaced(holder.current().svid.leaf)) await holder.renew();
    const bundles = parseBundleMap(await server.readText("/v1/bundles"));
    this.#federated = [...bundles.values()].filter(({ trustDomain }) => trustDomain !== server.trustDomain);
  }

  /** Also when the chain no longer leads to an authority of the bundle. */
  #mustRenew({ svid }: IssuedInstance): boolean {
    const { server, runtime } = this.#options;
    try {
      return this.#isBeingReplaced(verifyX509Svid(svid.chain, server.bundles, nowSeconds(runtime)).leaf);
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      return true;
    }
  }

  #isBeingReplaced({ aki }: Pick<Certificate, "aki">): boolean {
    return aki !== undefined && this.#options.server.discovery.authority.renew.includes(encodeHex(aki));
  }
}

function createKeys(): KeyPair {
  return { instance: createDeliveredKey(), class: createDeliveredKey() };
}

/** A request with the proofs of its keys. */
function formatAsked(asked: {
  readonly enrolmentSha256: string;
  readonly request: () => JsonObject;
  readonly keys: KeyPair;
  readonly nonce: string;
}): JsonObject {
  const { enrolmentSha256, request, keys, nonce } = asked;
  const prove = ({ key }: DeliveredKey) => ({
    spki: encodeBase64url(key.spki),
    possession: issuePossession({ nonce, enrolmentSha256 }, key.signer),
  });
  return { ...request(), ...prove(keys.instance), class: prove(keys.class) };
}

function settled<T>(run: () => T): PromiseSettledResult<T> {
  try {
    return { status: "fulfilled", value: run() };
  } catch (reason) {
    // Safe: it is the end of this one renewal, and whoever asked for it is told.
    return { status: "rejected", reason };
  }
}

function readIssued(options: {
  readonly answer: IssuedAnswer;
  readonly keys: KeyPair;
  readonly server: TrustServer;
  readonly now: number;
}): Omit<IssuedInstance, "uid"> {
  const { answer, keys, server, now } = options;
  const { agent_id, owner_id, class_svid_chain } = answer;
  if (agent_id === null || owner_id === null) throw untrusted("no agent");
  const id = parseSpiffeId(answer.spiffe_id);
  const svid = readSvid({ id, chain: answer.svid_chain, key: keys.instance, server, now });
  const classSvid =
    class_svid_chain === null
      ? undefined
      : readSvid({ id: classIdOf(id), chain: class_svid_chain, key: keys.class, server, now });
  return {
    instanceId: answer.instance_id,
    agentId: agent_id,
    ownerId: owner_id,
    chain: answer.chain,
    scope: answer.scope,
    svid,
    classSvid,
    issuedAt: now,
    svidExpiresAt: answer.svid_expires_at,
    instanceExpiresAt: answer.instance_expires_at,
  };
}

/** An agent's `path/name` by an instance's id: its path without the instance. */
function agentOfId(spiffeId: SpiffeId): string {
  return pathOf(classIdOf(spiffeId)).slice(1);
}

function readSvid(options: {
  readonly id: SpiffeId;
  readonly chain: readonly string[];
  readonly key: DeliveredKey;
  readonly server: TrustServer;
  readonly now: number;
}): IssuedSvid {
  const { id, key, server, now } = options;
  const chain = options.chain.map(parseBase64url);
  const { leaf } = verifyIssuedSvid(chain, { id, key: key.key, server, now });
  return { spiffeId: id, chain, keyPkcs8: key.pkcs8, svidSha256: leaf.sha256 };
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("server_untrusted", { reason });
}
