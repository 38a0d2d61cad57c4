/** For tests: another process, of another account where the test is root, that follows its identity by bare HTTP/2. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { end, spawnAs } from "./attest/attest.test.support.ts";
import { WORKLOAD_SERVICE } from "./workload-api/protocol.ts";

/**
 * Speaks gRPC without any library: one server stream, each message and the final status as a line of JSON.
 *
 * @param connection - JavaScript that gives the socket.
 */
export const formatFollower = (connection = "net.connect(process.argv[1])") => `
const http2=require("http2"),net=require("net");
const session=http2.connect("http://localhost",{createConnection:()=>${connection}});
session.on("error",e=>console.log(JSON.stringify({lost:e.message})));
session.on("close",()=>console.log(JSON.stringify({closed:true})));
const call=session.request({":method":"POST",":path":"/SpiffeWorkloadAPI/FetchX509SVID","content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
const tell=h=>{if(h["grpc-status"]!==undefined)console.log(JSON.stringify({status:Number(h["grpc-status"]),text:decodeURI(h["grpc-message"]??"")}))};
call.on("response",tell);call.on("trailers",tell);call.on("error",()=>{});
let rest=Buffer.alloc(0);
call.on("data",part=>{rest=Buffer.concat([rest,part]);
 while(rest.length>=5&&rest.length>=5+rest.readUInt32BE(1)){const n=5+rest.readUInt32BE(1);
  console.log(JSON.stringify({message:rest.subarray(5,n).toString("base64")}));rest=rest.subarray(n)}});
call.end(Buffer.alloc(5));setInterval(()=>{},1000);`;

/** One thing that the caller heard. */
export interface Heard {
  /** SPIFFE IDs of a message, in order. */
  readonly ids?: readonly string[];
  readonly hints?: readonly string[];
  readonly message?: Readonly<Record<string, unknown>>;
  readonly status?: number;
  readonly text?: string;
  readonly closed?: boolean;
}

/** A running caller. */
export interface Caller {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The next thing that it hears. */
  readonly next: () => Promise<Heard>;
  readonly end: () => Promise<void>;
}

/** Starts a process that follows its X.509-SVIDs. */
export function startCaller(socketPath: string, uid: number, program = process.execPath): Caller {
  return hearCaller(spawnAs(uid, formatFollower(), { args: [socketPath], program }));
}

/** What a follower hears, which tells it on the standard output of the child. */
export function hearCaller(child: ChildProcess): Caller {
  if (child.stdout === null) throw new Error("its output is piped");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    pid: Number(child.pid),
    next: async () => {
      const { value, done } = await lines.next();
      return done === true ? { closed: true } : readHeard(JSON.parse(value));
    },
    end: () => end(child),
  };
}

function readHeard(line: {
  readonly message?: string;
  readonly status?: number;
  readonly text?: string;
}): Heard {
  if (line.message === undefined) return Object(line);
  const method = WORKLOAD_SERVICE.FetchX509SVID;
  const message = Object(method?.responseDeserialize(Buffer.from(line.message, "base64")));
  const svids: readonly { readonly spiffe_id: string; readonly hint: string }[] = message.svids;
  return { message, ids: svids.map(({ spiffe_id }) => spiffe_id), hints: svids.map(({ hint }) => hint) };
}
