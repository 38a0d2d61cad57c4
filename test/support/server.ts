/** A real server in this process, on loopback, in temporary directories of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig, type ServerSettings } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import type { Clock } from "../../server/clock.ts";

export const TRUST_DOMAIN = "acme.test";

/** Directories that outlive a server, so that it can be started again on them. */
export interface TestHome {
  readonly dataDir: string;
  readonly configDir: string;
  remove(): void;
}

export interface TestServer extends RunningServer {
  readonly home: TestHome;
}

export function createHome(): TestHome {
  const root = mkdtempSync(join(tmpdir(), "tw-"));
  return {
    dataDir: join(root, "data"),
    configDir: join(root, "config"),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Starts a server; its directories are removed by `home.remove()`. */
export async function startTestServer(
  settings: ServerSettings = {},
  home: TestHome = createHome(),
  clock?: Clock,
): Promise<TestServer> {
  const { dataDir, configDir } = home;
  const server = await startServer(
    parseConfig({
      trustDomain: TRUST_DOMAIN,
      port: 0,
      stopPort: 0,
      logLevel: "silent",
      dataDir,
      configDir,
      alarms: { agentsPerOwner: 1_000_000 },
      ...settings,
      // A machine that is slow, or busy with other tests, is no overload.
      intake: { delayMs: 3_600_000, ...settings.intake },
      // Tests register in loops, and bring no work.
      quotas: { easyAgentsPerOwnerPerMinute: 100_000, ...settings.quotas },
    }),
    clock,
  );
  return { ...server, home };
}
