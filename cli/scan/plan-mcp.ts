/** A server of an MCP client's configuration: its address becomes the gateway's, its secret the broker's. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Finding } from "./finding.ts";
import type { JsonString } from "./json-strings.ts";
import {
  addressVariableOf,
  type Edit,
  type Planned,
  type PlannedFile,
  replaceSecret,
  shownAddress,
  upstreamNameOf,
} from "./planned.ts";

const ADDRESS_MEMBERS: readonly string[] = ["url", "serverUrl", "httpUrl"];

const SCHEME = /^(?:[A-Za-z][A-Za-z-]{0,31} )?$/;

/** A finding below `mcpServers.<name>` or `servers.<name>`. */
export interface McpPlace {
  readonly member: JsonString;
  /** Path of the server. */
  readonly server: readonly string[];
}

/** The plan for one secret of a server. */
export function planMcpServer(file: PlannedFile, finding: Finding, { member, server }: McpPlace): Planned {
  const { reference, client = "its program" } = file.kind;
  const own = file.strings.filter(({ path }) => server.every((key, index) => path[index] === key));
  const address = own.find(
    ({ path }) => path.length === server.length + 1 && ADDRESS_MEMBERS.includes(path.at(-1) ?? ""),
  );
  if (address === undefined)
    return {
      finding,
      why: "it goes to a program on this machine, which needs the value: use the vendor's server over HTTP as an mcp upstream",
    };
  const why = whyNotMcp(file, { own, address });
  if (why !== undefined) return { finding, why };
  if (reference === undefined)
    return { finding, why: `${client} takes addresses literally: put the server behind the gateway by hand` };
  const injection = injectionOfMember(finding, member, server);
  if (injection === undefined)
    return { finding, why: "neither alone in a header nor a parameter of the address" };
  const { origin, pathname } = new URL(address.raw);
  const name = upstreamNameOf(server.at(-1) ?? "");
  const edits: readonly Edit[] = [
    ...(member === address ? [] : [replaceSecret(finding, file.mask)]),
    {
      start: address.start,
      end: address.end,
      replacement: `${reference(addressVariableOf(name))}/mcp`,
      before: shownAddress(address.raw),
    },
  ];
  return {
    finding,
    upstream: { name, kind: "mcp", url: origin, settings: { endpoint: pathname } },
    injection,
    edits,
  };
}

/** What the gateway could not stand in for. */
function whyNotMcp(
  file: PlannedFile,
  { own, address }: { readonly own: readonly JsonString[]; readonly address: JsonString },
): string | undefined {
  const url = URL.parse(address.raw);
  if (url?.protocol !== "https:" || url.username !== "" || address.raw.includes("$"))
    return "its address is no plain https URL";
  if (own.some(({ path, raw }) => (path.at(-1) === "type" || path.at(-1) === "transport") && raw === "sse"))
    return "it speaks the older SSE transport, which the gateway does not";
  const secrets = file.findings.filter((finding) =>
    own.some(({ start, end }) => start <= finding.start && finding.end <= end),
  );
  if (secrets.length > 1) return "the server takes more than one secret, and an upstream has one";
  const secretParameters = secrets.filter(
    ({ start }) => address.start <= start && start < address.end,
  ).length;
  return url.searchParams.size > secretParameters ? "its address has further parameters" : undefined;
}

function injectionOfMember(
  { start, end, name }: Finding,
  member: JsonString,
  server: readonly string[],
): JsonObject | undefined {
  const [kind] = member.path.slice(server.length);
  if (kind === "headers" && member.path.length === server.length + 2) {
    const scheme = member.raw.slice(0, start - member.start);
    // Settings are shown and recorded: whatever else stands in the header may be as secret.
    if (!SCHEME.test(scheme) || end !== member.end) return undefined;
    return { as: "header", name: (member.path.at(-1) ?? "").toLowerCase(), template: `${scheme}{secret}` };
  }
  const isParameter = ADDRESS_MEMBERS.includes(kind ?? "") && name !== undefined;
  return isParameter ? { as: "query", name } : undefined;
}
