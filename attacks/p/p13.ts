/** P13: the socket of a launched program. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { end } from "../../node/attest/attest.test.support.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { missingForAccounts, missingForWalls } from "../support/host.ts";
import type { World } from "../support/world.ts";

/** Accounts that nothing else of the machine uses. */
const LAUNCHED_UID = 54_321;
const OTHER_UID = 54_322;
/** What the socket says to whoever it is not for. */
const REFUSED = "7";

/**
 * Asks every socket of its arguments who it is, and says so: an id, the status of a refusal, or `none` where it cannot even
 * connect. Without arguments it asks its own.
 */
const ASK = `
const http2=require("http2"),net=require("net");const own=String(process.env.SPIFFE_ENDPOINT_SOCKET).replace("unix://","");
const ask=path=>new Promise(resolve=>{
  const session=http2.connect("http://localhost",{createConnection:()=>net.connect(path).on("error",()=>resolve("none"))});
  session.on("error",()=>resolve("none"));
  const call=session.request({":method":"POST",":path":"/SpiffeWorkloadAPI/FetchX509SVID","content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
  const tell=h=>{if(h["grpc-status"]!==undefined)resolve(String(h["grpc-status"]))};
  call.on("response",tell).on("trailers",tell).on("error",()=>resolve("none"));
  let text="";call.on("data",part=>{text+=part.toString("latin1");const id=/spiffe:[\\x21-\\x7e]*?inst-[0-9A-Za-z]{26}/.exec(text);if(id)resolve(id[0])});
  call.end(Buffer.alloc(5))});
Promise.all([own,...process.argv.slice(1)].map(ask)).then(([mine,...others])=>console.log(JSON.stringify({ready:true,socket:own,mine,others})));
setInterval(()=>{},1000)`;

/** What a launched program said. */
interface Launched {
  readonly socket: string;
  readonly mine: string;
  readonly others: readonly string[];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P13",
  title:
    "asks the socket of a launched program as the launcher's account, as another one, and from a sandbox",
  expected: "the launched program alone has its identity; nobody else gets any from its socket",
  weakening: "anybody-belongs",
  missing: () => missingForAccounts() ?? missingForWalls(),
  world: {},
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => {
    const made = await world.warden("owner", "create", "walter");
    if (made.exitCode !== 0) throw new Error(made.output);
    const walled = await launch(world, "walled", ["--sandbox"]);
    const moved = await launch(world, "moved", ["--uid", String(LAUNCHED_UID)]);
    return { walled, moved };
  },
  control: async (_world, { walled, moved }) => {
    expect(/\/walled\/inst-/.test(walled.mine), `the program behind walls has its identity: ${walled.mine}`);
    expect(
      /\/moved\/inst-/.test(moved.mine),
      `the program of another account has its identity: ${moved.mine}`,
    );
  },
  attack: async (world, { walled, moved }) => {
    const sockets = [walled.socket, moved.socket];
    expectSame(await askAs(0, sockets), [REFUSED, REFUSED], "the launcher's own account");
    expectSame(await askAs(OTHER_UID, sockets), ["none", "none"], "another account, which may not pass");
    const thief = await launch(world, "thief", ["--sandbox"], sockets);
    expect(/\/thief\/inst-/.test(thief.mine), "a program behind walls of its own has its own identity");
    expectSame(thief.others, ["none", "none"], "from behind walls the other sockets are not there");
  },
  evidence: async (ledger) => {
    // The thief's own, and nothing besides.
    await ledger.expect({ kind: "issue" }, 1);
    await ledger.expect({ kind: "jwt" }, 0);
  },
});

async function launch(
  world: World,
  agent: string,
  how: readonly string[],
  sockets: readonly string[] = [],
): Promise<Launched> {
  const { dataDir, configDir } = world.home;
  const who = ["--owner", "walter", "--agent", agent, "--scope", "fetch:web"];
  const places = ["--data", dataDir, "--config-dir", configDir];
  const command = ["--", process.execPath, "-e", ASK, ...sockets];
  const { ready } = await world.launch({
    args: ["cli/main.ts", "run", ...places, ...who, ...how, ...command],
  });
  return { socket: String(ready.socket), mine: String(ready.mine), others: Object(ready.others) };
}

/** What the sockets say to a process of an account. */
async function askAs(uid: number, sockets: readonly string[]): Promise<readonly string[]> {
  const child = spawn(process.execPath, ["-e", ASK, ...sockets], {
    uid,
    gid: uid,
    cwd: "/",
    env: { SPIFFE_ENDPOINT_SOCKET: "/nowhere" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = await once(createInterface({ input: child.stdout }), "line");
    return JSON.parse(line).others;
  } finally {
    await end(child);
  }
}
