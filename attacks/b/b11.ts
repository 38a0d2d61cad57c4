/** B11: another program in the process that was attested, and other bytes where the program was. */
import { once } from "node:events";
import { renameSync } from "node:fs";
import { createInterface } from "node:readline";
import { spawnAs } from "../../node/attest/attest.test.support.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { registerEntry } from "../support/attested.ts";
import {
  ACCOUNT,
  follow,
  makeProgram,
  missingForAccounts,
  openHost,
  rotateByForce,
} from "../support/host.ts";

/** How long a renewal of everything may take. */
const RENEWAL_MS = 2500;

/** Tells whether anything with an identity in it comes over a connection that it inherited. */
const HEIR = `new (require("net").Socket)({fd:3}).on("data",d=>console.log(JSON.stringify({hears:d.includes("spiffe://")}))).on("error",()=>{});setInterval(()=>{},1000)`;

/** Follows its identity, gives the connection away when it has it, and goes on as the attacker's program. */
const ASK_THEN_CHANGE = `
const http2=require("http2"),net=require("net");const socket=net.connect(process.argv[1]);
const session=http2.connect("http://localhost",{createConnection:()=>socket});
const call=session.request({":method":"POST",":path":"/SpiffeWorkloadAPI/FetchX509SVID","content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
call.end(Buffer.alloc(5));call.on("error",()=>{});
call.once("data",d=>{
  const child=require("child_process").spawn(process.argv[2],["-e",process.argv[3]],{detached:true,stdio:["ignore","inherit","inherit",socket._handle.fd]});
  console.log(JSON.stringify({id:/spiffe:[^ ]*?inst-[0-9A-Za-z]+/.exec(d.toString("latin1"))[0],heir:child.pid}));
  setTimeout(()=>process.execve(process.argv[2],[process.argv[2],"-e","setInterval(()=>{},1000)"],process.env),100)})`;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B11",
  title:
    "becomes another program after it was attested and waits for the renewal; puts other bytes where the program was",
  expected: "the changed process gets no renewal, its instance is ended, and the other bytes get nothing",
  weakening: "renewed-without-a-look",
  missing: missingForAccounts,
  world: {},
  mayChange: ["liveInstances", "registry", "epoch"],
  prepare: async (world) => {
    const host = await openHost(world);
    await registerEntry(world, [`unix:sha256:${host.bank.sha256}`, `unix:uid:${ACCOUNT}`]);
    const honest = follow(world, host, host.bank.path);
    return { host, honest, attacked: { id: "" } };
  },
  control: async (world, { honest }) => {
    const first = await honest.next();
    expectSame(first.ids?.length, 2, "the program has its identity and its class");
    await rotateByForce(world);
    const second = await honest.next();
    expectSame(second.ids, first.ids, "a program that is what it was is renewed");
  },
  attack: async (world, { host, honest, attacked }) => {
    const { socketPath, bank } = host;
    const args = [socketPath, process.execPath, HEIR];
    const changed = world.adopt(spawnAs(ACCOUNT, ASK_THEN_CHANGE, { args, program: bank.path }));
    if (changed.stdout === null) throw new Error("its output is piped");
    const lines = createInterface({ input: changed.stdout });
    const [told] = await once(lines, "line");
    const { id, heir } = JSON.parse(told);
    attacked.id = id;
    const heard: string[] = [];
    lines.on("line", (line) => heard.push(line));
    try {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await rotateByForce(world);
      await honest.next();
      await new Promise((resolve) => setTimeout(resolve, RENEWAL_MS));
      expect(!heard.join().includes("true"), "no identity comes over the changed process's connection");
    } finally {
      process.kill(heir, "SIGKILL");
      changed.kill("SIGKILL");
      await honest.end();
    }
    const other = makeProgram(`${bank.path}-other`);
    renameSync(other.path, bank.path);
    const impostor = follow(world, host, bank.path);
    const refused = await impostor.next();
    await impostor.end();
    expectSame(refused, { status: 7, text: "no identity issued" }, "other bytes under the program's name");
  },
  evidence: async (ledger, { attacked }) => {
    const named = (await ledger.events()).filter((event) => JSON.stringify(event).includes(attacked.id));
    expectSame(
      named.map(({ kind }) => kind),
      ["issue", "revoke"],
      "events that name the changed process",
    );
  },
});
