/**
 * A person's login, as MCP's suite plays it: its server demands OAuth, `warden secret login` leads through its
 * authorization server, and the gateway's calls go out with what came of it.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { discoverService } from "../../cli/login/discover.ts";
import { runProgram } from "../../cli/program.ts";
import type { GatewayLab } from "./gateway-lab.ts";
import { openSpelled, type Spellings } from "./spelled-server.ts";

/** What the suite hands to its client. */
export interface LoginScenario {
  readonly name: string;
  /** Of the suite's MCP server. */
  readonly server: string;
  /** A client that is registered there, where the scenario is about one. */
  readonly client: { readonly id: string; readonly secret: string | undefined } | null;
}

/** From the login to a tool's answer. @throws where either is refused. */
export async function playLogin(
  gateway: GatewayLab,
  scenario: LoginScenario,
  scratch: string,
): Promise<void> {
  const { pathname, origin } = new URL(scenario.server);
  const [named = ""] = (await discoverService(scenario.server)).issuers;
  const spellings: Spellings = new Map();
  const issuerAt = new URL(named);
  const [server, issuer] = [
    await openSpelled(origin, spellings),
    await openSpelled(issuerAt.origin, spellings),
  ];
  const name = scenario.name.replaceAll(/[^a-z0-9]+/g, "-");
  const url = server.origin;
  try {
    await gateway.register(
      { name, url, secret: name, settings: { endpoint: pathname } },
      { isPinned: false },
    );
    const issuerName = named.replace(issuerAt.origin, issuer.origin);
    await logIn(gateway, [
      ...[name, "--resource", `${url}${pathname}`, "--issuer", issuerName, "--allow-private"],
      ...["--upstream", name, "--agent", "agent:**"],
      ...clientArgs(scenario, scratch),
    ]);
    await gateway.useTool(name);
  } finally {
    for (const one of [server, issuer]) one.close();
  }
}

/** A client's secret goes in by a file; a client that is named by its document has none. */
function clientArgs({ client }: LoginScenario, scratch: string): readonly string[] {
  if (client === null) return [];
  const named = ["--client-id", client.id];
  if (client.secret === undefined) return named;
  const file = join(mkdtempSync(join(scratch, "client-")), "secret.txt");
  writeFileSync(file, client.secret, { mode: 0o600 });
  return [...named, "--client-secret-file", file];
}

/** The command, beside a browser that opens the address which it prints. @throws with what it printed. */
async function logIn(gateway: GatewayLab, args: readonly string[]): Promise<void> {
  let printed = "";
  const exitCode = await runProgram(["secret", "login", ...args, "--data", gateway.dataDir], {
    env: {},
    home: gateway.dataDir,
    stdout: (text) => {
      printed += text;
    },
    stderr: (text) => {
      printed += text;
      const [address] = /https?:\S+/.exec(text) ?? [];
      if (address !== undefined && text.includes("browser")) void fetch(address).catch(() => undefined);
    },
    nowMs: () => Date.now(),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  });
  if (exitCode !== 0) throw new Error(printed);
}
