/**
 * A program that knows nothing of TrustWarden but the Workload API: prints a JSON line for each state it sees, one for its
 * own children when told to, and ends when it is told that it has no identity.
 */
import { createWorkloadApiClient } from "../../sdk/workload-api/workload-api-client.ts";

const say = (facts: object): void => void process.stdout.write(`${JSON.stringify(facts)}\n`);
const client = createWorkloadApiClient();

if (process.argv.includes("--once")) {
  const found = await client
    .fetchX509()
    .catch(({ code }: { readonly code: string }) => ({ code, svids: [] }));
  say({ ids: found.svids.map(({ spiffeId }) => spiffeId), code: "code" in found ? found.code : null });
  process.exit(0);
}
client.watchX509({
  onState: ({ svids }) =>
    say({ ids: svids.map(({ spiffeId }) => spiffeId), hints: svids.map(({ hint }) => hint) }),
  onError: ({ code }) => {
    say({ code });
    if (code === "no_identity" && !process.argv.includes("--stay")) process.exit(3);
  },
});
const jwts = await client.fetchJwtSvids({ audience: ["https://api.example"] });
say({ jwts: jwts.map(({ spiffeId }) => spiffeId) });
setInterval(() => {}, 60_000);
