/**
 * The variables by which unmodified clients find what is behind the gateway: the vendors' own names for models, and
 * `<NAME>_BASE_URL` for every upstream.
 *
 * The keys are placeholders, without which the vendors' clients do not start; the proxy drops them.
 */
import type { UpstreamDescription } from "@trustwarden/core/gateway/upstream.ts";

const PLACEHOLDER = "held-by-the-gateway";

/** By custom both spellings are read, each by other programs. */
export const PROXY_NAMES = ["HTTPS_PROXY", "https_proxy"] as const;

/** Values below the proxy's address begin with a slash; the others are whole. */
export interface GatewayVariables {
  readonly paths: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, string>>;
}

/** Of two upstreams of one vendor the one with the vendor's name is meant, otherwise the first. */
export function gatewayVariables(upstreams: readonly UpstreamDescription[]): GatewayVariables {
  const paths: Record<string, string> = {};
  const values: Record<string, string> = {};
  for (const { name, kind } of upstreams) {
    if (kind !== "egress") paths[`${name.toUpperCase().replaceAll("-", "_")}_BASE_URL`] = `/${name}`;
  }
  // Whatever speaks HTTPS goes out through the gateway, to the places that it lets this agent reach.
  if (upstreams.some(({ kind }) => kind === "egress")) {
    for (const name of PROXY_NAMES) paths[name] = "";
    values.NO_PROXY = "127.0.0.1,localhost";
    values.no_proxy = values.NO_PROXY;
  }
  const openai = findVendor(upstreams, "openai");
  if (openai !== undefined) {
    paths.OPENAI_BASE_URL = `/${openai}/v1`;
    values.OPENAI_API_KEY = PLACEHOLDER;
  }
  const anthropic = findVendor(upstreams, "anthropic");
  if (anthropic !== undefined) {
    paths.ANTHROPIC_BASE_URL = `/${anthropic}`;
    values.ANTHROPIC_API_KEY = PLACEHOLDER;
  }
  return { paths, values };
}

/** The variables of a process that reaches the proxy at a port of loopback. */
export function formatGatewayVariables(
  { paths, values }: GatewayVariables,
  port: number,
): Readonly<Record<string, string>> {
  const urls = Object.entries(paths).map(
    ([name, path]) => [name, `http://127.0.0.1:${port}${path}`] as const,
  );
  return { ...values, ...Object.fromEntries(urls) };
}

function findVendor(
  upstreams: readonly UpstreamDescription[],
  kind: "openai" | "anthropic",
): string | undefined {
  const of = upstreams.filter((upstream) => upstream.kind === kind);
  return (of.find(({ name }) => name === kind) ?? of[0])?.name;
}
