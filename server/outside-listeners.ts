/**
 * The listeners that stand open only where the configuration asks for them: the web's, the one for enforcement points
 * and engines of others, the one for proxies, and the one for collectors.
 */
import type { ServerConfig } from "./config.ts";
import { openConsoleListener } from "./console/listener.ts";
import { type EnvoyListener, openEnvoyListener } from "./envoy/listener.ts";
import { formatUrl, type TlsMaterial } from "./http/listeners.ts";
import { ROUTES } from "./http/routes.ts";
import type { Services } from "./http/services.ts";
import { openWebListener } from "./http/web-listener.ts";
import { openMetricsListener } from "./metrics/listener.ts";
import type { Cleanup } from "./parts.ts";

/** What is open. */
export interface OutsideListeners {
  /** Where; null for what is not. */
  readonly addresses: {
    readonly webUrl: string | null;
    readonly policyUrl: string | null;
    readonly envoyPort: number | null;
    readonly metricsUrl: string | null;
    /** Origin by which browsers call the console. */
    readonly consoleUrl: string | null;
  };
  /** New connections of proxies get the new certificate; the others follow their own files. */
  renewTls(material: TlsMaterial): void;
}

interface Opening {
  readonly config: ServerConfig;
  readonly tls: TlsMaterial;
  readonly cleanups: Cleanup[];
}

/** @throws TrustWardenError `bind_refused`, `config_invalid`, `file_mode_too_open`. */
export async function openOutsideListeners(services: Services, opening: Opening): Promise<OutsideListeners> {
  const webUrl = await openWeb(services, opening, "web");
  const policyUrl = await openWeb(services, opening, "policy");
  const envoy = await openEnvoy(services, opening);
  const metricsUrl = await openMetrics(services, opening);
  const consoleUrl = await openConsole(services, opening);
  const addresses = { webUrl, policyUrl, envoyPort: envoy?.port ?? null, metricsUrl, consoleUrl };
  return { addresses, renewTls: (tls) => envoy?.renewTls(tls) };
}

/** The URL of a listener with a certificate of the web. */
async function openWeb(
  services: Services,
  { config, cleanups }: Opening,
  listener: "web" | "policy",
): Promise<string | null> {
  const { listener: policy } = config.policy;
  const listen = listener === "web" ? config.federation.web : policy;
  if (listen === undefined) return null;
  const named = policy?.url === undefined ? [] : [new URL(policy.url).hostname];
  const hosts = [...config.hosts, config.trustDomain, new URL(services.jwtIssuer).hostname, ...named];
  const opened = await openWebListener({ services, routes: ROUTES, listen: { ...listen, hosts }, listener });
  cleanups.push(() => opened.close());
  return formatUrl(listen.host, opened.port);
}

async function openMetrics(services: Services, { config, cleanups }: Opening): Promise<string | null> {
  const { metrics: settings, hosts } = config;
  if (settings === undefined) return null;
  const listener = await openMetricsListener(services, { routes: ROUTES, settings, hosts });
  cleanups.push(() => listener.close());
  return listener.url;
}

async function openConsole(services: Services, { config, cleanups }: Opening): Promise<string | null> {
  if (config.console === null) return null;
  const opened = await openConsoleListener({ services, routes: ROUTES, settings: config.console });
  cleanups.push(() => opened.close());
  return opened.origin;
}

async function openEnvoy(
  services: Services,
  { config, tls, cleanups }: Opening,
): Promise<EnvoyListener | undefined> {
  const { envoy } = config.policy;
  if (envoy === undefined) return undefined;
  const listener = await openEnvoyListener({ services, listen: envoy, tls });
  cleanups.push(() => listener.close());
  return listener;
}
