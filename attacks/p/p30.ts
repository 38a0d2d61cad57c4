/** P30: impostors of the server, at an agent's first contact. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { createTestDomain } from "../../sdk/tls.test.support.ts";
import { jsonOf } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { type HostilePeer, readBundle, startHostilePeer, startSdkAgent } from "../support/sdk.ts";
import type { World } from "../support/world.ts";

/** All that may be asked of somebody who has not been proven. */
const PUBLIC_QUESTIONS: readonly string[] = ["/v1/bundle", "/v1/successions"];

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers as the server would, to whoever goes on asking. */
async function playServer(world: World, serverId: string, bundle: string): Promise<Answer> {
  const discovery = jsonOf(await call(world.server.url, { target: "/.well-known/trustwarden" }));
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
async function startImpostors(world: World): Promise<readonly (readonly [string, HostilePeer, string])[]> {
  const genuine = await readBundle(world);
  const [twin, evil] = [createTestDomain(TRUST_DOMAIN), createTestDomain("evil.test")];
  const segments = ["trustwarden", "server", "inst-1"];
  const [twinSvid, evilSvid] = [twin.issue(segments), evil.issue(segments)];
  const service = await world.enrolVerifier();
  const twinBundle = formatTrustBundle(twin.bundle);
  const genuineAnswers = await playServer(world, twinSvid.id, genuine);
  const moved: Answer = (request, response) =>
    void response.writeHead(302, { location: `${world.server.url}${request.url}` }).end();
  const endless: Answer = (_request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(" ".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  };
  const old = { ...service.tls, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
  const start = async (what: string, code: string, peer: Promise<HostilePeer>) =>
    [what, await peer, code] as const;
  return [
    await start(
      "other roots under our name",
      "server_untrusted",
      startHostilePeer(twinSvid, await playServer(world, twinSvid.id, twinBundle)),
    ),
    await start(
      "another trust domain",
      "server_untrusted",
      startHostilePeer(evilSvid, await playServer(world, evilSvid.id, formatTrustBundle(evil.bundle))),
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
    await start("a bundle without an end", "request_too_large", startHostilePeer(twinSvid, endless)),
    await start("an older TLS", "server_unreachable", startHostilePeer(old, genuineAnswers)),
  ];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P30",
  title:
    "plays the server for an agent that has a ticket: other roots, another domain, a service's key, an older TLS",
  expected: "refused before the ticket or a proof leaves the agent",
  weakening: "server-unpinned",
  prepare: async (world) => ({
    agent: await startSdkAgent(world, ["read:rows"]),
    impostors: await startImpostors(world),
  }),
  control: async (world, { agent }) => {
    const ticket = await agent.ticketAt(world.server.url);
    const { id = "" } = await agent.tell({ do: "create", name: agent.name, ticket });
    expect(id.startsWith(`spiffe://${TRUST_DOMAIN}/`), "the genuine server gives the agent an identity");
  },
  attack: async (_world, { agent, impostors }) => {
    for (const [what, peer, code] of impostors) {
      const ticket = await agent.ticketAt(peer.url);
      const told = await agent.tell({ do: "create", name: agent.name, ticket });
      const asked = peer.heard.filter(({ target, hasBody }) => hasBody || !PUBLIC_QUESTIONS.includes(target));
      peer.close();
      expectSame(
        asked.map(({ method, target }) => `${method} ${target}`),
        [],
        `what the agent says to ${what}`,
      );
      expectSame(told, { code }, what);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
  },
});
