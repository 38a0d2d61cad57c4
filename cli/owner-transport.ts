/**
 * HTTPS with requests that an owner's key signs: how an owner works from a machine that is not the server's.
 *
 * The server is proven before a byte of the request is written: its bundle must hash to the digest that the owner's
 * profile pins, or be the successor of the one that did, and its certificate must chain to that bundle and name `/trustwarden/server/`. Only the bundle itself
 * is fetched from a peer that nobody has verified yet, and then it is compared with the pin.
 */
import type { Agent } from "node:https";
import { parseTrustDomain, pathOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { createPeerCheckedAgent, parseOrigin, readPinnedBundle, systemRuntime } from "trustwarden/peer.ts";
import { type ApiRequest, type Client, createClient, type Transport } from "./client.ts";
import { exchangeTls } from "./http-exchange.ts";
import type { Io } from "./io.ts";
import type { LocalOwner } from "./owner-keys.ts";

/** An owner-signed request is good for this long. */
const REQUEST_SECONDS = 60;
const SERVER_PATH = "/trustwarden/server/";

/** What the pin proved: connections that lead only to the server, and whom requests are for. */
interface ProvenServer {
  readonly agent: Agent;
  readonly serverId: string;
}

/** A transport that signs each request as `owner`; contacts the server on first use. */
export function createOwnerTransport(owner: LocalOwner, io: Pick<Io, "nowMs" | "random">): Transport {
  let proven: Promise<ProvenServer> | undefined;
  return {
    send: async (request) => {
      proven ??= proveServer(owner);
      const { agent, serverId } = await proven;
      const header = issueOwnerRequest({ owner, serverId, request, io });
      const { serverUrl, stopUrl } = owner.profile;
      const origin = request.lane === "stop" ? stopUrl : serverUrl;
      return exchangeTls({ origin, request, agent, headers: { "trustwarden-owner": header } });
    },
    close: () =>
      void proven?.then(
        ({ agent }) => agent.destroy(),
        () => undefined,
      ),
  };
}

/** Talks to the server as this owner, also where the operator's socket is at hand. */
export async function asOwner(
  owner: LocalOwner,
  io: Pick<Io, "nowMs" | "random">,
  work: (client: Client) => Promise<void>,
): Promise<void> {
  const transport = createOwnerTransport(owner, io);
  try {
    await work(createClient(transport));
  } finally {
    transport.close();
  }
}

/**
 * The `TrustWarden-Owner` header: a DSSE owner request over exactly this method, target and body.
 *
 * @see docs/path.md, "Who is asking"
 */
export function issueOwnerRequest({
  owner,
  serverId,
  request,
  io,
}: {
  readonly owner: LocalOwner;
  readonly serverId: string;
  readonly request: ApiRequest;
  readonly io: Pick<Io, "nowMs" | "random">;
}): string {
  const nowMs = io.nowMs();
  const iat = Math.floor(nowMs / 1000);
  const payload = {
    v: 1,
    jti: formatUlid(nowMs, io.random),
    aud: serverId,
    owner: owner.profile.ownerId,
    method: request.method,
    target: request.target,
    body_sha256: encodeBase64url(sha256(request.body)),
    iat,
    exp: iat + REQUEST_SECONDS,
  };
  return encodeBase64url(encodeUtf8(issueEnvelope("owner-request", payload, owner.signer, owner.keyid)));
}

async function proveServer({ profile }: LocalOwner): Promise<ProvenServer> {
  const { serverUrl: url, authoritiesSha256 } = profile;
  const address = { url, trustDomain: parseTrustDomain(profile.trustDomain), authoritiesSha256 };
  const bundle = await readPinnedBundle(parseOrigin(url), address, systemRuntime);
  const agent = createPeerCheckedAgent({
    bundle: () => bundle,
    acceptPeer: (id) => pathOf(id).startsWith(SERVER_PATH),
    refusal: "server_untrusted",
  });
  const client = createClient(createAnonymousTransport(profile.serverUrl, agent));
  return { agent, serverId: (await client.get("/.well-known/trustwarden", discovery)).server_id };
}

function createAnonymousTransport(origin: string, agent: Agent): Transport {
  return { send: (request) => exchangeTls({ origin, request, agent, headers: {} }), close: () => undefined };
}
