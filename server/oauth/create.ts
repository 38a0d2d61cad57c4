/** Makes the authorization server of a configuration. */
import type { Random } from "@trustwarden/core/id.ts";
import { createOpenFetch } from "../attest/token-source.ts";
import { jwtIssuerOf, type ServerConfig } from "../config.ts";
import type { Services } from "../http/services.ts";
import type { Sharing } from "../shared/sharing.ts";
import { AcceptedGrants } from "./accepted-grants.ts";
import { AuthorizationServer } from "./authorization-server.ts";
import { ClientDocuments } from "./client-documents.ts";
import { GivenGrants } from "./given-grants.ts";

/** @param options.names - host names of the main listener; IPv6 addresses in brackets. */
export function createAuthorizationServer(options: {
  readonly config: ServerConfig;
  readonly random: Random;
  readonly urls: Services["urls"];
  readonly names: ReadonlySet<string>;
  readonly sharing: Pick<Sharing, "uses">;
  readonly nonceKey: Uint8Array | null;
}): AuthorizationServer {
  const { config, random, urls, names, sharing, nonceKey } = options;
  const origin = () => config.oauth.url ?? urls().server;
  return new AuthorizationServer({
    jwtIssuer: jwtIssuerOf(config),
    origin,
    // Another port of the same host is another server, whose proofs are not for us.
    isOnWeb: config.federation.web !== undefined,
    origins: () => [
      origin(),
      jwtIssuerOf(config),
      ...[...names].map((name) => withName(urls().server, name)),
    ],
    random,
    uses: sharing.uses,
    nonceKey,
    acceptedGrants: new AcceptedGrants(
      config.oauth.grantIssuers,
      createOpenFetch("oauth.grantIssuers caFile"),
    ),
    givenGrants: new GivenGrants(config.oauth.grantAudiences),
    documents: new ClientDocuments(
      config.oauth.clientDocuments,
      createOpenFetch("oauth.clientDocuments caFile"),
    ),
  });
}

function withName(url: string, name: string): string {
  const { port } = new URL(url);
  return `https://${name}${port === "" ? "" : `:${port}`}`;
}
