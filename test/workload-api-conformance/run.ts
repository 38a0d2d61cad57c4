/**
 * A conformance suite for servers of the SPIFFE Workload API, runnable against any socket.
 *
 *   node test/workload-api-conformance/run.ts --socket unix:///path [--json] [--watch SECONDS] [--stranger-uid UID] [--only ID]
 *     [--withdraw COMMAND]
 *
 * The process that runs it has to be one that the endpoint gives an identity. One line a row: `pass`, `fail` or
 * `not seen`, with the requirement's number and level (M must, S should,
 * O may, D what clients need, B what SPIRE's agent does, T ours); `N passed, N failed, N not seen` at the end. Exits with 1 when a
 * row fails, or when none passed.
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { runSuite } from "./suite.ts";

const { values } = parseArgs({
  options: {
    socket: { type: "string" },
    json: { type: "boolean" },
    watch: { type: "string" },
    "stranger-uid": { type: "string" },
    withdraw: { type: "string" },
    only: { type: "string" },
  },
});
if (values.socket === undefined) throw new Error("--socket unix:///path or tcp://IP:port is missing");
const withdrawal = values.withdraw;
const verdicts = await runSuite({
  socket: values.socket,
  watchSeconds: Number(values.watch ?? 0),
  strangerUid: values["stranger-uid"] === undefined ? null : Number(values["stranger-uid"]),
  withdraw: withdrawal === undefined ? null : async () => void execFileSync("sh", ["-c", withdrawal]),
  selects: (id) => id.startsWith(values.only ?? ""),
});
const count = (wanted: string) => verdicts.filter(({ verdict }) => verdict === wanted).length;
if (values.json) console.log(JSON.stringify(verdicts, null, 2));
else {
  for (const { verdict, id, level, text, said } of verdicts)
    console.log(`${verdict.padEnd(8)} ${id.padEnd(6)} ${level}  ${text}${said === "" ? "" : `: ${said}`}`);
  console.log(`\n${count("pass")} passed, ${count("fail")} failed, ${count("not seen")} not seen`);
}
process.exitCode = count("fail") > 0 || count("pass") === 0 ? 1 : 0;
