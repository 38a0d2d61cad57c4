/** A real server with a console, a service that agents visit, and agents of the SDK that act in it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linkAnswer } from "@trustwarden/core/api/people.ts";
import type { Role } from "@trustwarden/core/role.ts";
import { AgentIdentity } from "trustwarden";
import {
  type LiveServer,
  type LiveService,
  startLiveServer,
  startLiveService,
} from "../../sdk/live.test.support.ts";
import { writeRecipient } from "../../test/support/backup-recipient.ts";
import { publicClient, settingOf, startOidcProvider } from "../../test/support/oidc-provider.ts";
import { createPolicyKey, type PolicyKey } from "../../test/support/policies.ts";

/** So few that somebody reads them in a run. */
export const LINES_PER_DAY = 5000;
const POLICIES = join(import.meta.dirname, "../../policies");
const SCOPE = ["read:doc", "write:doc", "delete:doc", "pay:doc"];
const SECRET = {
  name: "model-key",
  value: "as it came from the provider",
  upstreams: [{ name: "model", origin: "https://api.example.test" }],
  agents: ["agent:team/**"],
  injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
  reason: "set-up",
};
const row = (method: string, path: string, action: string) => ({
  method,
  path,
  action,
  resource: `doc:/${path}`,
});
const ROUTES = [
  row("GET", "/docs/{id}", "read:doc"),
  row("POST", "/docs/{id}", "write:doc"),
  row("POST", "/docs/{id}/delete", "delete:doc"),
  row("POST", "/docs/{id}/pay", "pay:doc"),
];

/** Everything that a scenario needs. */
export interface World {
  readonly live: LiveServer;
  readonly origin: string;
  /** Origin of the identity provider, by which people may sign in too. */
  readonly provider: string;
  /** Its service's calls. */
  readonly service: LiveService;
  readonly agent: AgentIdentity;
  /** May sign policies. */
  readonly policyKey: PolicyKey;
  readonly child: AgentIdentity;
  /** Secret of a one-time link of the host's operator: for the first admin, or as it is said. */
  readonly link: (body?: { readonly roles: readonly Role[] }) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** Starts all of it. */
export async function createWorld(): Promise<World> {
  const policyDir = askingPolicies();
  const vault = mkdtempSync(join(tmpdir(), "tw-e2e-vault-"));
  const policyKey = createPolicyKey("release");
  const provider = await startOidcProvider();
  const live = await startLiveServer({
    policyDir,
    backup: { directory: vault, recipientFile: writeRecipient(vault) },
    policy: { signers: [{ id: policyKey.id, publicKeyFile: policyKey.publicKeyFile }] },
    console: { port: 0, linesPerDay: LINES_PER_DAY, identityProviders: [settingOf(provider)] },
  });
  await provider.serve([publicClient(live)]);
  await live.admin("POST", "/v1/secrets", SECRET);
  const service = await startLiveService(live, {
    name: "docs",
    routes: ROUTES,
    listener: (_request, response) => void response.end("done"),
  });
  const ticket = live.ticket({ name: "orchestrator", scope: SCOPE });
  const agent = await AgentIdentity.create({ name: "orchestrator", ticket });
  const child = await AgentIdentity.create({
    name: "reader",
    parent: agent,
    scope: ["read:doc"],
    ttl: "10m",
  });
  return {
    live,
    origin: live.consoleUrl,
    provider: provider.issuer,
    service,
    agent,
    child,
    policyKey,
    link: async (body) => linkAnswer.parse(await live.admin("POST", "/v1/people/links", body ?? {})).link,
    close: async () => {
      await child.close();
      await agent.close();
      await service.close();
      await live.close();
      provider.close();
      for (const folder of [policyDir, vault]) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The built-in policy, asking a human about every deletion. */
function askingPolicies(): string {
  const folder = mkdtempSync(join(tmpdir(), "tw-e2e-"));
  cpSync(POLICIES, folder, { recursive: true });
  const path = join(folder, "trustwarden/data.json");
  const data = JSON.parse(readFileSync(path, "utf8"));
  data.policy.asks = { delete: { at: ["gateway", "service"], why: "It does not come back." } };
  writeFileSync(path, JSON.stringify(data));
  return folder;
}
