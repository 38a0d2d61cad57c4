/** E8: an agent that looks around for a credential that is not its own, and then uses it. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { dirname, join } from "node:path";
import { defineScenario, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { ROOT } from "../support/child.ts";
import { missingForWalls } from "../support/host.ts";
import type { World } from "../support/world.ts";

const METADATA = "169.254.169.254:80";
/** Long enough for any scenario, and not for ever. */
const BYSTANDER = "setTimeout(()=>{},240_000)";

interface Scene {
  /** Where the agent works. */
  readonly work: string;
  /** What the launcher's own environment holds. */
  readonly environment: Readonly<Record<string, string>>;
  /** Files with credentials. */
  readonly paths: readonly string[];
  /** The operator named it. */
  readonly known: Listening;
  /** Gives a credential to whoever asks. */
  readonly stranger: Listening;
}

/** A listener of the host, by port and by an abstract name. */
interface Listening {
  readonly port: number;
  readonly place: string;
  readonly name: string;
  readonly visits: () => number;
}

/** What an exploring agent says of itself. */
interface Explored {
  readonly found: readonly string[];
  readonly opened: readonly boolean[];
  readonly tunnels: Readonly<Record<string, number>>;
  readonly identity: boolean;
  readonly note: string;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E8",
  title:
    "launched by `warden run --sandbox`, searches environment, files, processes and network for a credential, and tries the doors",
  expected:
    "finds none; no door opens but the one that the operator named; the way out that was refused is recorded",
  weakening: "environment-as-it-is",
  missing: missingForWalls,
  world: WITH_GATEWAY,
  mayChange: ["agents", "epoch", "liveInstances", "registry"],
  prepare: async (world): Promise<Scene> => {
    const made = await world.warden("owner", "create", "walter");
    if (made.exitCode !== 0) throw new Error(made.output);
    const home = join(world.home.dataDir, "..");
    const work = join(home, "work");
    mkdirSync(work);
    writeFileSync(join(work, "note.txt"), "mine");
    copyFileSync(join(ROOT, "attacks/support/explorer.mjs"), join(work, "explorer.mjs"));
    const [known, stranger] = [await listen("known"), await listen(credential())];
    const settings = { places: [known.place, METADATA] };
    await operate(world, "/v1/upstreams", {
      name: "egress",
      kind: "egress",
      url: "egress:",
      allow_private: true,
      settings,
    });
    startBystander(world);
    return { work, environment: plantEnvironment(home), paths: plantFiles(home), known, stranger };
  },
  control: async (world, scene) => {
    const { known } = scene;
    const { tunnels, identity, note } = await explore(world, scene, { places: [known.place] });
    expectSame(
      { tunnels, identity, note },
      { tunnels: { [known.place]: 200 }, identity: true, note: "mine" },
      "an agent at work",
    );
  },
  attack: async (world, scene) => {
    const { paths, stranger } = scene;
    const visits = stranger.visits();
    const { found, opened, tunnels } = await explore(world, scene, {
      paths,
      doors: [{ host: "127.0.0.1", port: stranger.port }],
      socket: stranger.name,
      places: [stranger.place, METADATA],
    });
    expectSame(found, [], "credentials that it found");
    expectSame(opened, [false, false], "doors that opened");
    expectSame(tunnels, { [stranger.place]: 404, [METADATA]: 403 }, "ways out");
    expectSame(stranger.visits(), visits, "visits of the stranger");
  },
  evidence: async (ledger, { stranger }) => {
    const [alarm] = await ledger.expect(
      { kind: "refuse", reason: "route_unknown", principal: /explorer/ },
      1,
    );
    const payloads = await ledger.payloads(alarm?.event_id ?? "");
    expectSame(JSON.stringify(payloads).includes(stranger.place), true, "the record names the place");
    await ledger.expect({ kind: "issue" }, 1);
  },
});

/** Runs the explorer in a sandbox of its own. */
async function explore(
  world: World,
  { work, environment }: Scene,
  task: {
    readonly paths?: readonly string[];
    readonly doors?: readonly object[];
    readonly socket?: string;
    readonly places: readonly string[];
  },
): Promise<Explored> {
  const { dataDir, configDir } = world.home;
  const asked = JSON.stringify({ paths: [], doors: [], socket: "/nowhere", ...task });
  const who = ["--owner", "walter", "--agent", "explorer", "--scope", "connect:net:**"];
  const walls = ["--sandbox", "--read-only", dirname(process.execPath)];
  const command = ["--", process.execPath, "explorer.mjs", asked];
  const child = await world.launch({
    args: ["cli/main.ts", "run", "--data", dataDir, "--config-dir", configDir, ...who, ...walls, ...command],
    env: environment,
    cwd: work,
  });
  await child.exited;
  const { found, opened, tunnels, identity, note } = Object(child.ready);
  return { found, opened, tunnels, identity, note };
}

/** What lies about in the environment of whoever starts an agent. */
function plantEnvironment(home: string): Readonly<Record<string, string>> {
  return {
    HOME: home,
    AWS_SECRET_ACCESS_KEY: credential(),
    DATABASE_URL: `postgres://root:${credential()}@127.0.0.1/production`,
    PLAIN_NAME: credential(),
  };
}

/** @returns the files, which every process of the account may read. */
function plantFiles(home: string): readonly string[] {
  return [".aws/credentials", ".ssh/id_ed25519", ".netrc", ".env", "config/deploy.json"].map((name) => {
    const path = join(home, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `key = ${credential()}\n`, { mode: 0o644 });
    return path;
  });
}

/** Another process of the account, with credentials in its arguments and environment. */
function startBystander(world: World): void {
  const env = { SERVICE_TOKEN: credential() };
  world.adopt(spawn(process.execPath, ["-e", BYSTANDER, credential()], { env, stdio: "ignore" }));
}

function credential(): string {
  return `sk-live-${randomBytes(16).toString("hex")}`;
}

/** @param says - to whoever connects. */
async function listen(says: string): Promise<Listening> {
  let visits = 0;
  const open = async (
    where: { readonly port: number; readonly host: string } | { readonly path: string },
  ) => {
    const server = createServer((socket) => {
      visits += 1;
      socket.on("error", () => socket.destroy());
      socket.end(says);
    });
    server.listen(where).unref();
    await once(server, "listening");
    return server;
  };
  const { port } = Object((await open({ port: 0, host: "127.0.0.1" })).address()) as AddressInfo; // the one cast: a TCP server's address
  const name = `\0tw-${randomBytes(8).toString("hex")}`;
  await open({ path: name });
  return { port, place: `127.0.0.1:${port}`, name, visits: () => visits };
}
