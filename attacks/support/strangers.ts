/** Peers that an agent must not send an intent to, and what it has to answer each with. */
import { ROUTES_PATH } from "@trustwarden/core/route-table.ts";
import { createTestDomain } from "../../sdk/tls.test.support.ts";
import { answerEndlessly, type Ground, routesDocument, type Stranger, startHostilePeer } from "./sdk.ts";

/** Peers that an agent must not send an intent to, with the codes that it may answer with. */
export async function startStrangers(ground: Ground): Promise<readonly Stranger[]> {
  const finance = await ground.finance();
  const [verifier, agent] = [await ground.enrolVerifier(), await ground.enrol(["read:rows"])];
  const evil = createTestDomain("evil.test").issue(["trustwarden", "verifier", "finance-api", "inst-1"]);
  const twin = createTestDomain().issue(["trustwarden", "verifier", "finance-api", "inst-1"]);
  const telling = (text: string) => (options: Parameters<typeof startHostilePeer>[0]) =>
    startHostilePeer(options, (_request, response) => response.end(text));
  const endless = await startHostilePeer(verifier.tls, answerEndlessly);
  const moved = await startHostilePeer(verifier.tls, (_request, response) =>
    response.writeHead(302, { location: `${finance.url}${ROUTES_PATH}` }).end(),
  );
  const old = { ...verifier.tls, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;
  const own = routesDocument(verifier.answer.spiffe_id);
  return [
    [
      "the routes of another service",
      await telling(routesDocument(finance.id))(verifier.tls),
      "peer_untrusted",
    ],
    ["a service of another trust domain", await telling(routesDocument(evil.id))(evil), "peer_untrusted"],
    [
      "a service of another authority under our name",
      await telling(routesDocument(twin.id))(twin),
      "peer_untrusted",
    ],
    [
      "an agent that plays a service",
      await telling(routesDocument(agent.answer.spiffe_id))(agent.tls),
      "peer_untrusted",
    ],
    ["an older TLS", await telling(own)(old), "server_unreachable"],
    ["routes without an end", endless, "request_too_large"],
    ["routes that are elsewhere", moved, "route_unknown"],
  ];
}
