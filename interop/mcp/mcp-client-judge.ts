/**
 * MCP's conformance suite judges the gateway as a client of MCP servers: the suite's own server stands behind the gateway,
 * clients of the official SDKs before it, and what arrives at that server must be what a conforming client sends.
 *
 * The authorization scenarios judge how a client gets a token of the server's; they are `mcp-auth-judge.ts`.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import type { Findings, Judge, Lab, Verdict } from "../judge.ts";
import { countVerdicts } from "../judge.ts";
import { runSuite } from "./conformance.ts";
import { exploreLegacy, exploreModern } from "./exploring-client.ts";
import { GatewayLab } from "./gateway-lab.ts";

/** Scenarios that a revision has for clients, with and without what an authorization server is needed for. */
const APPLICABLE = {
  "2026-07-28": [
    "tools_call",
    "request-metadata",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
  ],
  "2025-11-25": [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "json-schema-2020-12-preservation",
  ],
} as const;
type Revision = keyof typeof APPLICABLE;
/** What must not arrive at a server that nobody approved. */
const HIDDEN = "tools_call";

const told = z.object({ scenario: z.string(), server: z.url(), context: z.string() });
const context = z.object({
  toolCalls: z.array(z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()) })).optional(),
});

export const mcpClientJudge: Judge = { name: "@modelcontextprotocol/conformance client", run: judge };

async function judge(lab: Lab): Promise<Findings> {
  const gateway = await GatewayLab.open();
  try {
    const verdicts: Verdict[] = [];
    for (const revision of ["2026-07-28", "2025-11-25"] as const)
      verdicts.push(...(await judgeRevision(lab, gateway, revision)));
    verdicts.push(await judgeHidden(lab, gateway));
    return countVerdicts(
      verdicts,
      "the authorization scenarios have a judge of their own, and the extensions are no matter of this way",
    );
  } finally {
    await gateway.close();
  }
}

async function judgeRevision(lab: Lab, gateway: GatewayLab, revision: Revision): Promise<readonly Verdict[]> {
  const client = await openClient(gateway, { revision, isPinned: true });
  try {
    const verdicts: Verdict[] = [];
    for (const name of APPLICABLE[revision]) {
      const failed = await playScenario(lab, { revision, name, url: client.url });
      const said = failed === undefined ? "it did not run" : failed.join("; ");
      const isAccepted = failed?.length === 0;
      verdicts.push({ name: `${revision} ${name}`, expected: "accept", isAccepted, said });
    }
    return verdicts;
  } finally {
    client.close();
  }
}

async function judgeHidden(lab: Lab, gateway: GatewayLab): Promise<Verdict> {
  const revision = "2026-07-28";
  const client = await openClient(gateway, { revision, isPinned: false });
  try {
    const failed = await playScenario(lab, { revision, name: HIDDEN, url: client.url });
    if (failed === undefined) throw new Error(`${HIDDEN} did not run`);
    return { name: `unapproved ${HIDDEN}`, expected: "refuse", isAccepted: failed.length === 0 };
  } finally {
    client.close();
  }
}

/** What failed of a scenario; undefined when the suite does not have it. */
async function playScenario(
  lab: Lab,
  { revision, name, url }: { readonly revision: Revision; readonly name: string; readonly url: string },
): Promise<readonly string[] | undefined> {
  const command = `${process.execPath} ${lab.root}/interop/mcp/suite-client.ts ${url}`;
  const args = ["client", "--command", command, "--scenario", name, "--spec-version", revision];
  return (await runSuite(lab, `mcp-client-${new URL(url).port}-${name}`, args)).get(name);
}

/** Where the suite's client program asks for a scenario to be played. */
async function openClient(
  gateway: GatewayLab,
  way: { readonly revision: Revision; readonly isPinned: boolean },
): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer((request, response) => {
    play(gateway, way, request).then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}/`, close };
}

let scenes = 0;

async function play(
  gateway: GatewayLab,
  { revision, isPinned }: { readonly revision: Revision; readonly isPinned: boolean },
  request: IncomingMessage,
): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const asked = told.parse(JSON.parse(Buffer.concat(parts).toString()));
  const { toolCalls = [] } = context.parse(JSON.parse(asked.context));
  scenes += 1;
  const name = `scene-${scenes}`;
  // The suite says `localhost`; an upstream without TLS is one by its address.
  const { port, pathname } = new URL(asked.server);
  const settings = { endpoint: pathname, client_features: ["elicitation", "sampling", "roots"] };
  await gateway.register({ name, url: `http://127.0.0.1:${port}`, settings }, { isPinned });
  const local = await gateway.openLocal(name);
  try {
    await (revision === "2025-11-25" ? exploreLegacy(local.url) : exploreModern(local.url, toolCalls));
  } finally {
    local.close();
  }
}
