/**
 * MCP's conformance suite judges how the gateway gets a token for a server that demands OAuth: by the metadata of the
 * server and of the authorization server whose issuer the operator named, with client credentials or a person's login, for
 * that resource; and that it gets none when a document or an answer is another's.
 *
 * Which scenarios do not apply is listed in docs/guides/mcp-gateway.md: a client that logs in again by itself, and keys
 * and tokens that the suite would hand to its client.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import type { Findings, Judge, Lab, Verdict } from "../judge.ts";
import { countVerdicts } from "../judge.ts";
import { runSuite } from "./conformance.ts";
import { GatewayLab } from "./gateway-lab.ts";
import { playLogin } from "./login-scenarios.ts";
import { openSpelled, type Spellings } from "./spelled-server.ts";

const REVISION = "2026-07-28";
/** With what must come of the gateway's call: a token, or no word with anybody who could misuse one. */
const SCENARIOS = {
  "auth/client-credentials-basic": "accept",
  "auth/resource-mismatch": "refuse",
  "auth/metadata-issuer-mismatch": "refuse",
} as const;
/** The same with a person who logs in. */
const LOGINS = {
  "auth/metadata-default": "accept",
  "auth/metadata-var1": "accept",
  "auth/metadata-var2": "accept",
  "auth/metadata-var3": "accept",
  "auth/basic-cimd": "accept",
  "auth/pre-registration": "accept",
  "auth/scope-from-www-authenticate": "accept",
  "auth/scope-from-scopes-supported": "accept",
  "auth/scope-omitted-when-undefined": "accept",
  "auth/token-endpoint-auth-basic": "accept",
  "auth/token-endpoint-auth-post": "accept",
  "auth/token-endpoint-auth-none": "accept",
  "auth/offline-access-scope": "accept",
  "auth/offline-access-not-supported": "accept",
  "auth/iss-supported": "accept",
  "auth/iss-not-advertised": "accept",
  "auth/iss-supported-missing": "refuse",
  "auth/iss-wrong-issuer": "refuse",
  "auth/iss-unexpected": "refuse",
  "auth/iss-normalized": "refuse",
} as const;
/** The client whose document the suite speaks of. */
const DOCUMENT = "https://conformance-test.local/client-metadata.json";

const told = z.object({ scenario: z.string(), server: z.url(), context: z.string() });
const context = z.object({ client_id: z.string().optional(), client_secret: z.string().optional() });
const metadata = z.object({ resource: z.string(), authorization_servers: z.array(z.string()).min(1) });

export const mcpAuthJudge: Judge = { name: "@modelcontextprotocol/conformance auth", run: judge };

async function judge(lab: Lab): Promise<Findings> {
  const gateway = await GatewayLab.open();
  const outcomes = new Map<string, boolean>();
  const client = await openClient(gateway, outcomes, lab.scratch);
  try {
    const verdicts: Verdict[] = [];
    for (const [name, expected] of Object.entries({ ...SCENARIOS, ...LOGINS })) {
      const command = `${process.execPath} ${lab.root}/interop/mcp/suite-client.ts ${client.url}`;
      const args = [
        "client",
        "--command",
        command,
        "--scenario",
        name,
        "--spec-version",
        REVISION,
        "--force",
      ];
      const found = await runSuite(lab, `mcp-${name.replace("/", "-")}`, args);
      const failed = [...found.values()].flat();
      const said = found.size === 0 ? "it did not run" : failed.join("; ");
      verdicts.push({
        name: `suite ${name}`,
        expected: "accept",
        isAccepted: found.size > 0 && failed.length === 0,
        said,
      });
      // The suite is content with a client that does nothing; the gateway has to have done what is right.
      verdicts.push({ name: `call ${name}`, expected, isAccepted: outcomes.get(name) === true, said });
    }
    return countVerdicts(
      verdicts,
      "scenarios with keys of the suite's, and with a client that logs in again by itself, do not apply",
    );
  } finally {
    client.close();
    await gateway.close();
  }
}

/** Where the suite's client program asks for a scenario to be played. */
async function openClient(
  gateway: GatewayLab,
  outcomes: Map<string, boolean>,
  scratch: string,
): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer((request, response) => {
    play(gateway, request, scratch).then(
      (name) => {
        outcomes.set(name, true);
        response.end();
      },
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

/** One scenario, to a tool's answer. @returns its name. @throws when the gateway gets no token. */
async function play(gateway: GatewayLab, request: IncomingMessage, scratch: string): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const asked = told.parse(JSON.parse(Buffer.concat(parts).toString()));
  const { client_id, client_secret = "a-secret-of-the-gateway" } = context.parse(JSON.parse(asked.context));
  if (Object.hasOwn(LOGINS, asked.scenario)) {
    const known = client_id === undefined ? null : { id: client_id, secret: client_secret };
    const client = asked.scenario === "auth/basic-cimd" ? { id: DOCUMENT, secret: undefined } : known;
    await playLogin(gateway, { name: asked.scenario, server: asked.server, client }, scratch);
    return asked.scenario;
  }
  const name = asked.scenario.replace("auth/", "");
  const { pathname, origin } = new URL(asked.server);
  // What the operator does once: look whom the server names, and name the issuer himself.
  const document = await fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`);
  const [named = ""] = metadata.parse(await document.json()).authorization_servers;
  const spellings: Spellings = new Map();
  const [server, issuer] = [await openSpelled(origin, spellings), await openSpelled(named, spellings)];
  const url = server.origin;
  const source = {
    ...{ issuer: issuer.origin, resource: `${url}${pathname}`, grant: "client_credentials" },
    ...{ client_auth: "secret_basic", client_id: client_id ?? "gateway", allow_private: true },
  };
  const secret = `token-${name}`;
  await gateway.addTokenSource({ name: secret, upstream: name, url, source, value: client_secret });
  await gateway.register({ name, url, secret, settings: { endpoint: pathname } }, { isPinned: false });
  try {
    await gateway.useTool(name);
  } finally {
    for (const one of [server, issuer]) one.close();
  }
  return asked.scenario;
}
