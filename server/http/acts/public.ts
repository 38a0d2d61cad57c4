/**
 * The closed public list: what a stranger may read, because it is public by nature and needed before any identity.
 */

import type { IncomingHttpHeaders } from "node:http";
import { formatJwks, formatTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { announceEnd } from "@trustwarden/core/agentledger/add-shard.ts";
import { parseCheckpointText } from "@trustwarden/core/agentledger/checkpoint.ts";
import { isSameLogKey } from "@trustwarden/core/agentledger/shard.ts";
import type { Shard, ShardLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseNote } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTilePath } from "@trustwarden/core/agentledger/tile.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import type { NonceAnswer, OpenIdConfiguration } from "@trustwarden/core/api/identity.ts";
import type { Discovery, ShardList } from "@trustwarden/core/api/ledger.ts";
import { MAX_RENEWALS } from "@trustwarden/core/api/registration.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

/** Which shard a path is about: the ledger's first log, whose address is as old as the ledger, unless it says. */
interface InShard {
  readonly shard?: string | undefined;
}

/** Asks for discovery beside the bundle; any value. */
const CONTACT_HEADER = "trustwarden-contact";
/** Discovery as base64url of its JSON. */
const DISCOVERY_HEADER = "trustwarden-discovery";
const PEM_TYPE = "application/pem-certificate-chain";
const JSON_TYPE = "application/json; charset=utf-8";
/** A full tile never changes; a partial one may be replaced by the full one. */
const IMMUTABLE = "public, max-age=31536000, immutable";
const SHORT = "public, max-age=5";

/** Bundles are replaced and never changed, and asked for much more often. */
const bundleTexts = new WeakMap<TrustBundle, string>();

export async function health(): Promise<{ readonly status: "ok" }> {
  return { status: "ok" };
}

/**
 * The bundle; for whoever makes first contact and says so, discovery with its nonce stands in a header beside it, so that a
 * request is spared. Whoever asks believes neither before the bundle has proven the connection on which both came.
 */
export async function readBundle(
  services: Services,
  _params: unknown,
  { [CONTACT_HEADER]: contact }: IncomingHttpHeaders,
): Promise<RawAnswer> {
  const { bundle } = services.authority();
  const answer = { isRaw: true, contentType: JSON_TYPE, content: textOfBundle(bundle) } as const;
  if (contact === undefined)
    return { ...answer, cacheControl: `public, max-age=${bundle.refreshHintSeconds}` };
  const discovery = encodeBase64url(encodeUtf8(JSON.stringify(await discover(services))));
  return { ...answer, cacheControl: "no-store", headers: { [DISCOVERY_HEADER]: discovery } };
}

function textOfBundle(bundle: TrustBundle): string {
  const known = bundleTexts.get(bundle);
  if (known !== undefined) return known;
  const text = formatTrustBundle(bundle);
  bundleTexts.set(bundle, text);
  return text;
}

/** The X.509 authorities alone, for programs that take a file of roots. */
export async function readBundlePem({ authority }: Services): Promise<RawAnswer> {
  const { bundle } = authority();
  const cacheControl = `public, max-age=${bundle.refreshHintSeconds}`;
  const content = bundle.x509Authorities.map(({ der }) => formatPem("CERTIFICATE", der)).join("");
  return { isRaw: true, contentType: PEM_TYPE, cacheControl, content };
}

export async function readJwks({ authority }: Services): Promise<RawAnswer> {
  const { bundle } = authority();
  const cacheControl = `public, max-age=${bundle.refreshHintSeconds}`;
  return { isRaw: true, contentType: JSON_TYPE, cacheControl, content: formatJwks(bundle) };
}

/**
 * Discovery for relying parties that take our JWT-SVIDs as OpenID Connect tokens. There is no authorization endpoint:
 * nobody logs in here.
 *
 * @see OpenID Connect Discovery 1.0 §3
 */
export async function discoverOpenId({ jwtIssuer }: Services): Promise<OpenIdConfiguration> {
  return {
    issuer: jwtIssuer,
    jwks_uri: `${jwtIssuer}/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
    claims_supported: ["aud", "exp", "iat", "iss", "jti", "sub"],
  };
}

export async function discover(services: Services): Promise<Discovery> {
  const { bundle, authoritiesSha256, intermediate, renew } = services.authority();
  return {
    trust_domain: services.trustDomain,
    server_id: services.serverSvid().spiffeId,
    authorities_sha256: authoritiesSha256,
    log_origin: services.ledger.origin,
    log_vkey: services.ledger.log.vkey,
    stop_url: services.urls().stop,
    gateway_url: services.gateway.url(),
    epoch: services.reads.epoch(),
    authority: {
      sequence: bundle.sequence,
      intermediate_sha256: encodeBase64url(sha256(intermediate.der)),
      renew: [...renew],
    },
    wit_svid: services.witSvid,
    renewals: MAX_RENEWALS,
    // By the plain clock: a clock that is wrong refuses the nonce when it is spent, not the whole document.
    nonce: services.nonces.issue(Math.floor(services.clock.nowMs() / 1000)).nonce,
  };
}

/** @throws TrustWardenError `clock_rolled_back`. */
export async function issueNonce({ nonces, clock }: Services): Promise<NonceAnswer> {
  const { nonce, expiresAt } = nonces.issue(clock.trustedSeconds());
  return { nonce, expires_at: expiresAt };
}

/** The shards of the ledger; the last one is the one that grows. */
export async function listShards({ ledger }: Services): Promise<ShardList> {
  const { shards } = ledger.log;
  return {
    shards: await Promise.all(
      shards.map(async ({ name, origin, vkey, first, log, isFrozen: frozen }, at) => {
        // Our own, and verified when it was read.
        const { size } = parseCheckpointText(parseNote(log.checkpoint()).unverifiedText);
        return { name, origin, vkey, first, size, frozen, named_by: await proveKey(vkey, shards[at - 1]) };
      }),
    ),
  };
}

/** Ends do not change: whoever asks for the list has each proof made once. */
const ends = new WeakMap<ShardLog, Promise<string>>();

/** That the last entry of the shard before names a key; null where that is its own. */
async function proveKey(vkey: string, before: Shard | undefined): Promise<string | null> {
  if (before === undefined || isSameLogKey(before.vkey, vkey)) return null;
  const known = ends.get(before.log);
  if (known !== undefined) return known;
  const text = announceEnd(before.log, vkey).then(({ proof }) => formatTlogProof(proof));
  ends.set(before.log, text);
  // What could not be read is read again.
  text.catch(() => ends.delete(before.log));
  return text;
}

/** The newest checkpoint of a shard: with the cosignatures, if it is the witnessed one; otherwise at once, without. */
export async function readCheckpoint(services: Services, params: InShard): Promise<RawAnswer> {
  const { ledger } = services;
  const shard = shardOf(services, params);
  const note = shard.log.checkpoint();
  const witnessed = await ledger.readWitnessed(shard);
  return textOf(witnessed?.note.startsWith(note) ? witnessed.note : note);
}

/** The newest checkpoint of the shard that grows: what an intent names as seen. */
export function readLatestCheckpoint(services: Services): Promise<RawAnswer> {
  return readCheckpoint(services, { shard: services.ledger.log.current.name ?? undefined });
}

/** The newest one that satisfies the witness policy. @throws TrustWardenError `not_found` before the first. */
export async function readWitnessedCheckpoint(services: Services, params: InShard): Promise<RawAnswer> {
  const witnessed = await services.ledger.readWitnessed(shardOf(services, params));
  if (witnessed === null) throw new TrustWardenError("not_found", { reason: "nothing is witnessed" });
  return textOf(witnessed.note);
}

/** Who witnesses this log. @throws TrustWardenError `not_found` where nobody is asked. */
export async function readWitnessPolicy({ ledger }: Services): Promise<RawAnswer> {
  if (ledger.witnessPolicy === null)
    throw new TrustWardenError("not_found", { reason: "no witness is asked" });
  return textOf(ledger.witnessPolicy);
}

function textOf(content: string): RawAnswer {
  return { isRaw: true, contentType: "text/plain; charset=utf-8", cacheControl: "no-cache", content };
}

/** A hash tile. @throws TrustWardenError `not_found` for entries, which are not public, and for what is not there. */
export async function readHashTile(
  services: Services,
  { shard, "*": path }: InShard & { readonly "*": string },
): Promise<RawAnswer> {
  return readTile(services, { shard, path, isEntries: false });
}

/**
 * A tile of the wanted sort; the path is parsed before it gets near a file system.
 *
 * @throws TrustWardenError `not_found`.
 */
export async function readTile(
  services: Services,
  { path, isEntries, ...params }: InShard & { readonly path: string; readonly isEntries: boolean },
): Promise<RawAnswer> {
  const name = parseTilePath(`tile/${path}`);
  if ((name.level === "entries") !== isEntries) throw new TrustWardenError("not_found");
  const content = await shardOf(services, params).reader.readObject(`tile/${path}`);
  const cacheControl = isEntries ? "no-store" : name.width === 256 ? IMMUTABLE : SHORT;
  return { isRaw: true, contentType: "application/octet-stream", cacheControl, content };
}

/** @throws TrustWardenError `not_found`. */
function shardOf({ ledger }: Services, { shard: wanted }: InShard): Shard {
  const shard = ledger.log.shards.find(({ name }) => name === (wanted ?? null));
  if (shard === undefined) throw new TrustWardenError("not_found");
  return shard;
}
