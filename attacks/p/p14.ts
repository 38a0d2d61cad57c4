/** P14: a child of a parent that is somebody else's. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { formatRequestValue, parseGrantValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeSpki, formatThumbprintOf } from "@trustwarden/core/crypto.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { spawnAs } from "../../node/attest/attest.test.support.ts";
import { parseAnswer } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { registerEntry } from "../support/attested.ts";
import { ACCOUNT, type Host, makeProgram, missingForAccounts, openHost } from "../support/host.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const REFUSED = "7";
const PARENT = { scope: parseScope(["read:transactions", "write:reports"]), depth: 1, fanOut: 4 };

/**
 * Asks the socket for its own identity, then for a grant under its own instance, under none by name, and under each instance
 * of its arguments; says what came: an id or a grant, or the status of a refusal.
 */
const ASK = `
const http2=require("http2"),net=require("net");const [path,request,...others]=process.argv.slice(1);
const session=http2.connect("http://localhost",{createConnection:()=>net.connect(path)});
const field=(number,text)=>{const bytes=Buffer.from(text),head=[number<<3|2];let n=bytes.length;while(n>127){head.push(n&127|128);n>>=7}head.push(n);return Buffer.concat([Buffer.from(head),bytes])};
const ask=(method,message,wanted)=>new Promise(resolve=>{
  const call=session.request({":method":"POST",":path":method,"content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
  const tell=h=>{if(h["grpc-status"]!==undefined)resolve(String(h["grpc-status"]))};
  call.on("response",tell).on("trailers",tell).on("error",()=>resolve("none"));
  let text="";call.on("data",part=>{text+=part.toString("latin1");const found=wanted.exec(text);if(found)resolve(found[0])});
  const head=Buffer.alloc(5);head.writeUInt32BE(message.length,1);call.end(Buffer.concat([head,message]))});
const grant=parent=>ask("/trustwarden.node.v1.AgentApi/Grant",Buffer.concat([field(1,request),field(2,parent)]),/twg1\\.[\\w-]+(?![\\s\\S])/);
const describe=wanted=>ask("/trustwarden.node.v1.AgentApi/Describe",Buffer.alloc(0),wanted);
describe(/inst-[0-9A-Z]{26}/).then(async mine=>
  console.log(JSON.stringify({mine,agent:await describe(/agt_[0-9A-Z]{26}/),own:await grant(mine),unnamed:await grant(""),others:await Promise.all(others.map(grant))})));
setInterval(()=>{},1000)`;

interface Asked {
  readonly mine: string;
  readonly agent: string;
  readonly own: string;
  readonly unnamed: string;
  readonly others: readonly string[];
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P14",
  title:
    "asks the node for a child of another program's instance, as a program of the same account without an identity and with one",
  expected: "PermissionDenied whatever instance is named but one's own; nothing is signed and nothing issued",
  weakening: "anybodys-parent",
  missing: missingForAccounts,
  world: {},
  // The thief's own instance, and its own child.
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => {
    const host = await openHost(world);
    const thief = makeProgram(`${host.bank.path}-thief`);
    for (const { path } of [host.bank, thief])
      await registerEntry(world, [`unix:path:${path}`, `unix:uid:${ACCOUNT}`], PARENT);
    const signer = createTestSigner();
    return { host, thief, signer, bank: await askAs(world, host, { program: host.bank.path, signer }) };
  },
  control: async (world, { bank, signer }) => {
    expectSame(
      await parentOf(world, bank.own, signer),
      bank.agent,
      "the program's child has it as its parent",
    );
  },
  attack: async (world, { host, thief, bank }) => {
    const signer = createTestSigner();
    const named = [bank.mine];
    const nobody = await askAs(world, host, { program: process.execPath, signer, named });
    expectSame(nobody.others, [REFUSED], "a program of the account without an identity names the bank");
    expectSame([nobody.mine, nobody.unnamed], [REFUSED, REFUSED], "and it has no child of its own");
    const other = await askAs(world, host, { program: thief.path, signer, named });
    expectSame(other.others, [REFUSED], "a program with an identity names the bank");
    expect(other.agent !== bank.agent, "the thief is an agent of its own");
    expectSame(await parentOf(world, other.unnamed, signer), other.agent, "its child is its own");
  },
  evidence: async (ledger) => {
    // The thief's own instance and its own child, and nothing under the bank's.
    await ledger.expect({ kind: "issue" }, 2);
  },
});

async function askAs(
  world: World,
  { socketPath }: Host,
  {
    program,
    signer,
    named = [],
  }: {
    readonly program: string;
    readonly signer: ReturnType<typeof createTestSigner>;
    readonly named?: readonly string[];
  },
): Promise<Asked> {
  const request = formatRequestValue({
    name: world.name("child"),
    scope: parseScope(["read:transactions"]),
    ttlSeconds: 300,
    limits: { depth: 0, fanOut: 0, budget: 0 },
    thumbprint: formatThumbprintOf(encodeSpki(signer.publicKey)),
  });
  const child = world.adopt(spawnAs(ACCOUNT, ASK, { args: [socketPath, request, ...named], program }));
  if (child.stdout === null) throw new Error("its output is piped");
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return JSON.parse(line);
}

/** Enrols with a grant; the agent that the child is of. */
async function parentOf(
  world: World,
  grant: string,
  signer: ReturnType<typeof createTestSigner>,
): Promise<string> {
  const envelope = parseGrantValue(grant).grant;
  const { chain } = parseAnswer(identityAnswer, await enrolWith(world, envelope, { signer }));
  return chain.at(-2) ?? "";
}
