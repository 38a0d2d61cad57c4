/** Impostors of the server, and what an agent has to answer each with. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { createTestDomain } from "../../sdk/tls.test.support.ts";
import { jsonOf } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { call } from "./client.ts";
import {
  answerEndlessly,
  type Ground,
  type HostilePeer,
  readBundle,
  type Stranger,
  startHostilePeer,
} from "./sdk.ts";

/** All that may be asked of somebody who has not been proven. */
export const PUBLIC_QUESTIONS: readonly string[] = ["/v1/bundle", "/v1/successions"];

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers as the server would, to whoever goes on asking. */
async function playServer(ground: Ground, serverId: string, bundle: string): Promise<Answer> {
  const discovery = jsonOf(await call(ground.server.url, { target: "/.well-known/trustwarden" }));
  return (request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/v1/bundle") response.end(bundle);
    else if (request.url === "/v1/successions") response.end('{"successions":[]}');
    else if (request.url === "/.well-known/trustwarden")
      response.end(JSON.stringify({ ...discovery, server_id: serverId }));
    else if (request.url === "/v1/nonce") response.end('{"nonce":"bm9uY2U","expires_at":9999999999}');
    else response.writeHead(503).end();
  };
}

/** Every impostor, with the codes that an agent may answer it with. */
export async function startImpostors(ground: Ground): Promise<readonly Stranger[]> {
  const genuine = await readBundle(ground);
  const [twin, evil] = [createTestDomain(TRUST_DOMAIN), createTestDomain("evil.test")];
  const segments = ["trustwarden", "server", "inst-1"];
  const [twinSvid, evilSvid] = [twin.issue(segments), evil.issue(segments)];
  const service = await ground.enrolVerifier();
  const twinBundle = formatTrustBundle(twin.bundle);
  const genuineAnswers = await playServer(ground, twinSvid.id, genuine);
  const moved: Answer = (request, response) =>
    void response.writeHead(302, { location: `${ground.server.url}${request.url}` }).end();
  const old = { ...service.tls, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
  const start = async (what: string, code: string, peer: Promise<HostilePeer>) =>
    [what, await peer, code] as const;
  return [
    await start(
      "other roots under our name",
      "server_untrusted",
      startHostilePeer(twinSvid, await playServer(ground, twinSvid.id, twinBundle)),
    ),
    await start(
      "another trust domain",
      "server_untrusted",
      startHostilePeer(evilSvid, await playServer(ground, evilSvid.id, formatTrustBundle(evil.bundle))),
    ),
    await start(
      "our bundle without a chain to it",
      "server_untrusted",
      startHostilePeer(twinSvid, genuineAnswers),
    ),
    await start(
      "a service of ours that plays the server",
      "server_untrusted",
      startHostilePeer(service.tls, genuineAnswers),
    ),
    await start("a redirect to the server", "server_untrusted", startHostilePeer(twinSvid, moved)),
    await start("a bundle without an end", "request_too_large", startHostilePeer(twinSvid, answerEndlessly)),
    await start("an older TLS", "server_unreachable", startHostilePeer(old, genuineAnswers)),
  ];
}
