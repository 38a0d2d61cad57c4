/** Outages of a server that works: how each begins and ends, on real processes. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { World, WorldSettings } from "../../attacks/support/world.ts";
import { isFileError } from "../../server/store/posix-log-files.ts";
import { readGuide } from "./guide.ts";
import { createHome, type TestHome } from "./server.ts";

const HOUR_MS = 3_600_000;
const MACHINE_CLOCK = ["attacks/support/machine-clock.ts"];
/** Until every lease has run out. */
const LEASES_MS = 1_500;

/** One kind of outage. */
export interface Outage {
  /** As the table says it. */
  readonly name: string;
  readonly faults?: readonly string[];
  readonly settings?: (home: TestHome) => Promise<WorldSettings> | WorldSettings;
  /** Before the server's first start. */
  readonly prepare?: (home: TestHome) => void;
  readonly begin: (world: World) => Promise<void>;
  readonly end: (world: World) => Promise<void>;
  readonly release?: (home: TestHome) => void;
}

/** The database of the state, which outages stop and start. */
export interface StateDatabase {
  readonly postgresql: { stop(): Promise<void>; start(): Promise<void> };
  create(): Promise<{ readonly login: object }>;
}

const outageFile = (home: TestHome) => join(home.dataDir, "..", "outage");
const ledgerDisk = (home: TestHome) => join(home.dataDir, "ledger");
const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const setClock = (world: World, offsetMs: number) => {
  writeFileSync(world.clockFile, String(offsetMs));
  return wait(200);
};

/** Started again where services look for it. */
function restart(world: World): Promise<void> {
  const [port, stopPort] = [world.server.url, world.server.stopUrl].map((url) => new URL(url).port);
  return world.start({ env: { TRUSTWARDEN_PORT: port ?? "", TRUSTWARDEN_STOP_PORT: stopPort ?? "" } });
}

/** A world to begin an outage in. */
export function homeOf({ prepare }: Outage): TestHome {
  const home = createHome();
  prepare?.(home);
  return home;
}

export const SERVER_DEAD: Outage = {
  name: "the server is gone (killed)",
  begin: async ({ child }) => {
    await child.kill();
    await wait(LEASES_MS);
  },
  end: restart,
};

export const SERVER_FROZEN: Outage = {
  name: "the server stands still (`SIGSTOP`), or the network to it is cut",
  begin: async ({ child }) => {
    process.kill(child.pid, "SIGSTOP");
    await wait(LEASES_MS);
  },
  end: async ({ child }) => {
    process.kill(child.pid, "SIGCONT");
    await wait(LEASES_MS);
  },
};

export const POLICY_DEAD: Outage = {
  name: "the policy engine traps",
  faults: ["policy-traps-later"],
  settings: (home) => ({ env: { TW_OUTAGE: outageFile(home) } }),
  begin: async ({ home }) => writeFileSync(outageFile(home), ""),
  end: async ({ home }) => rmSync(outageFile(home)),
};

/** A disk of its own for the ledger, which something else fills to the last byte. Needs the right to mount. The server ends by itself. */
export const LEDGER_DISK_FULL: Outage = {
  name: "the ledger's disk is full",
  prepare: (home) => {
    mkdirSync(ledgerDisk(home), { recursive: true, mode: 0o700 });
    execFileSync("chmod", ["700", home.dataDir]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", ledgerDisk(home)]);
  },
  begin: async ({ home }) => {
    const filler = join(ledgerDisk(home), "filler");
    const page = Buffer.alloc(4096);
    try {
      for (;;) appendFileSync(filler, page);
    } catch (error) {
      if (!isFileError(error, "ENOSPC")) throw error;
    }
  },
  end: async (world) => {
    await world.child.exited;
    rmSync(join(ledgerDisk(world.home), "filler"));
    await restart(world);
  },
  release: (home) => execFileSync("umount", ["-l", ledgerDisk(home)]),
};

export const CLOCK_BACK: Outage = {
  name: "the server's clock is set back by an hour",
  settings: () => ({ imports: MACHINE_CLOCK }),
  begin: (world) => setClock(world, -HOUR_MS),
  end: (world) => setClock(world, 0),
};

export const CLOCK_AHEAD: Outage = {
  name: "the server's clock is set an hour ahead",
  settings: () => ({ imports: MACHINE_CLOCK }),
  begin: (world) => setClock(world, HOUR_MS),
  end: (world) => setClock(world, 0),
};

/** With the state in PostgreSQL, as the guide has it. */
export function databaseAway(database: () => StateDatabase): Outage {
  return {
    name: "the state's database is away",
    settings: async () => {
      const { login } = await database().create();
      const block = readGuide("state-storage.md").find(({ file }) => file === "state.json");
      const state = { ...JSON.parse(block?.text ?? "{}"), postgres: login };
      return { configure: () => ({ state }) };
    },
    begin: () => database().postgresql.stop(),
    end: () => database().postgresql.start(),
  };
}
