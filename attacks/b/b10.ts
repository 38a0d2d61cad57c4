/** B10: the number of a process that has ended. */
import { once } from "node:events";
import { end, spawnAs, spawnWithPid } from "../../node/attest/attest.test.support.ts";
import { type Caller, formatFollower, type Heard, hearCaller } from "../../node/caller.test.support.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { registerEntry } from "../support/attested.ts";
import { ACCOUNT, follow, type Host, missingForAccounts, openHost } from "../support/host.ts";
import type { World } from "../support/world.ts";

/** How soon whoever asks is answered or cut off, on a busy machine too. */
const ANSWER_MS = 30_000;
const MAX_ATTEMPTS = 8;

/** Asks over a connection that it inherited, when it is told to. */
const HEIR = `process.once("SIGUSR2",()=>{${formatFollower("new net.Socket({fd:3})")}});console.log(process.pid);setInterval(()=>{},1000)`;

/** Connects, hands the connection to a child, and ends; the child tells its number. */
const CONNECT_AND_END = `
const socket=require("net").connect(process.argv[1],()=>{
  const child=require("child_process").spawn(process.execPath,["-e",process.argv[2]],{detached:true,stdio:["ignore","inherit","inherit",socket._handle.fd]});
  child.once("spawn",()=>setTimeout(()=>process.exit(),50))})`;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B10",
  title: "connects, ends, and has its number taken by a trusted process before the connection asks who it is",
  expected: "the connection is nobody's: nothing is issued, with the number free and with it taken",
  weakening: "a-number-is-a-process",
  missing: missingForAccounts,
  world: {},
  // The trusted process of the control ends.
  mayChange: ["liveInstances", "registry", "epoch"],
  prepare: async (world) => {
    const host = await openHost(world);
    await registerEntry(world, [`unix:path:${host.bank.path}`, `unix:uid:${ACCOUNT}`]);
    return { host, bank: follow(world, host, host.bank.path) };
  },
  control: async (world, { host, bank }) => {
    const { ids = [] } = await bank.next();
    expect(ids[0]?.includes("/team/finance/attested-") === true, "the trusted process has its identity");
    const other = follow(world, host);
    const heard = await other.next();
    await other.end();
    expectSame(heard, { status: 7, text: "no identity issued" }, "another program of the same account");
  },
  attack: async (world, { host, bank }) => {
    const heard = await askAsHeirs(world, host).finally(() => bank.end());
    expectSame(
      heard.map(({ ids }) => ids ?? []),
      [[], []],
      "what comes with the number free, and with it taken",
    );
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
    await ledger.expect({ kind: "renew" }, 0);
  },
});

/** Another process of a busy machine may get the number first: then it is tried with another connection. */
async function askAsHeirs(world: World, host: Host): Promise<readonly Heard[]> {
  const free = await askAsHeir(world, host, false);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return [free, await askAsHeir(world, host, true)];
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** What the heir of a connection hears first, when the process that connected has ended. */
async function askAsHeir(world: World, { socketPath, bank }: Host, isTaken: boolean): Promise<Heard> {
  const parent = world.adopt(spawnAs(ACCOUNT, CONNECT_AND_END, { args: [socketPath, HEIR] }));
  const heir = hearCaller(parent);
  const exited = once(parent, "exit");
  const heirPid = await firstNumber(heir);
  try {
    await exited;
    const args = ["-e", "setInterval(()=>{},1000)"];
    const taken = isTaken
      ? world.adopt(await spawnWithPid(heir.pid, { program: bank.path, args, uid: ACCOUNT }))
      : undefined;
    process.kill(heirPid, "SIGUSR2");
    const late = new Promise<Heard>((resolve) => setTimeout(() => resolve({ text: "nothing" }), ANSWER_MS));
    const heard = await Promise.race([heir.next(), late]);
    if (taken !== undefined) await end(taken);
    return heard;
  } finally {
    process.kill(heirPid, "SIGKILL");
  }
}

async function firstNumber(heir: Caller): Promise<number> {
  return Number(await heir.next());
}
