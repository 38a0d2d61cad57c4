/** Puts the gateway together, and opens its listener where the configuration asks for one. */
import type { ServerConfig } from "../config.ts";
import type { TlsMaterial } from "../http/listeners.ts";
import type { Services } from "../http/services.ts";
import type { GatewayReads } from "../store/gateway-ports.ts";
import { UpstreamConnections } from "./forward.ts";
import { type Gateway, type GatewayParts, openGateway } from "./gateway.ts";
import { LiveCalls } from "./live-calls.ts";
import { Upstreams } from "./upstreams.ts";

/** What exists whether or not there is a listener. */
export function createGatewayParts(options: {
  readonly reads: GatewayReads;
  readonly url: () => string | null;
  /** Host names of the listener; IPv6 addresses in brackets. */
  readonly names: ReadonlySet<string>;
}): GatewayParts {
  const { reads, url, names } = options;
  return {
    upstreams: new Upstreams(reads),
    calls: new LiveCalls(),
    connections: new UpstreamConnections(),
    url,
    origins: () => originsOf(url(), names),
  };
}

/** Another port of the same host is another server, whose proofs are not for us. */
function originsOf(url: string | null, names: ReadonlySet<string>): readonly string[] {
  if (url === null) return [];
  const { port } = new URL(url);
  return [url, ...[...names].map((name) => `https://${name}${port === "" ? "" : `:${port}`}`)];
}

/** @throws TrustWardenError `bind_refused`. */
export async function openConfiguredGateway(options: {
  readonly services: Services;
  readonly config: ServerConfig;
  readonly tls: TlsMaterial;
  readonly cleanups: (() => Promise<void> | void)[];
}): Promise<Gateway | undefined> {
  const { services, config, tls, cleanups } = options;
  if (config.gateway === undefined) return undefined;
  const gateway = await openGateway({ services, listen: { ...config.gateway, hosts: config.hosts }, tls });
  cleanups.push(() => gateway.close());
  return gateway;
}
