/**
 * An agent whose identity is given by somebody else: a workload of a federated SPIRE that acts here with its own SVID.
 *
 * The registration that its owner was given says who it is here and which server to believe; the SVID and its key come
 * from the workload's own source, such as the Workload API, at the start and whenever the one at hand is half over.
 */
import type { KeyObject } from "node:crypto";
import { type ForeignValue, parseForeignValue } from "@trustwarden/core/agentid/foreign-agent.ts";
import { parseSpiffeId, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Credential, createCredential } from "./credential.ts";
import type { Enrolled } from "./enrol.ts";
import type { ServerAddress } from "./first-contact.ts";
import { openDeliveredKey } from "./instance-key.ts";
import type { Runtime } from "./runtime.ts";
import type { TrustServer } from "./trust-server.ts";

/** An X.509-SVID with its key, as the Workload API's client gives it. */
export interface ForeignSvid {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** P-256. */
  readonly privateKey: KeyObject;
}

/** What a foreign agent is made of. */
export interface FromSvidOptions {
  /** The `twf1.` text of its registration; holds no secret. */
  readonly registration: string;
  /** Gives the SVID of the moment; asked at the start and at each half life. */
  readonly svid: () => Promise<ForeignSvid>;
  readonly runtime?: Runtime;
}

/** A registration as the workload reads it. */
export interface ForeignPlace {
  readonly value: ForeignValue;
  readonly address: ServerAddress;
}

/** @throws TrustWardenError `entry_invalid`. */
export function readRegistration(text: string): ForeignPlace {
  const value = parseForeignValue(text.trim());
  const trustDomain = trustDomainOf(parseSpiffeId(value.trustDomain));
  return { value, address: { url: value.server, authoritiesSha256: value.authoritiesSha256, trustDomain } };
}

/**
 * The identity of a registered workload with its first credential.
 *
 * @throws TrustWardenError `svid_mismatch` for the SVID of another workload, `svid_key_refused` for a key that is not
 *   P-256, and the codes of `verifyX509Svid`: `trust_domain_unknown` when the server federates with it no more.
 */
export async function enrolForeign(
  { value }: ForeignPlace,
  source: FromSvidOptions["svid"],
  { server, runtime }: { readonly server: TrustServer; readonly runtime: Runtime },
): Promise<Enrolled> {
  const answer = answerOf(value);
  return { answer, credential: await nextForeignCredential({ answer, source, server, runtime }) };
}

/** The credential of the SVID that the source has now. @throws TrustWardenError as `enrolForeign`. */
export async function nextForeignCredential(options: {
  readonly answer: IdentityAnswer;
  readonly source: FromSvidOptions["svid"];
  readonly server: TrustServer;
  readonly runtime: Runtime;
}): Promise<Credential> {
  const { answer, source, server, runtime } = options;
  const [{ chain, privateKey }] = await Promise.all([source(), server.refreshFederated()]);
  const { asymmetricKeyDetails } = privateKey;
  if (privateKey.type !== "private" || asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TrustWardenError("svid_key_refused", { reason: "not a P-256 key" });
  }
  const { key } = openDeliveredKey(privateKey.export({ type: "pkcs8", format: "der" }));
  const svid_chain = chain.map(encodeBase64url);
  try {
    return createCredential({ answer: { ...answer, svid_chain }, key, server, runtime });
  } catch (cause) {
    // What createCredential blames the server for is here the source's doing.
    if (!(cause instanceof TrustWardenError) || cause.code !== "server_untrusted") throw cause;
    throw new TrustWardenError("svid_mismatch", { ...cause.details }, { cause });
  }
}

/** What enrolment would have answered; the server knows it from the registration. */
function answerOf(value: ForeignValue): IdentityAnswer {
  return {
    spiffe_id: value.spiffeId,
    agent_id: value.agentId,
    instance_id: value.instanceId,
    owner_id: value.ownerId,
    name: value.name,
    path: value.path,
    scope: [...value.scope],
    limits: { depth: 0, fan_out: 0, budget: 0 },
    chain: [...value.chain],
    svid_chain: [],
    svid_expires_at: 0,
    instance_expires_at: value.expiresAt,
    class_svid_chain: null,
    ttl_shortened: false,
    event_id: "",
    acknowledgement: "",
  };
}
