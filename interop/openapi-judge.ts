/**
 * Schemathesis holds a running server to `docs/openapi.json`: every row of the admin socket, asked with the document's examples and
 * with what the program makes up from it, answers with a status and a body that the document has, and never with a 500.
 *
 * It speaks over no Unix socket, so that a small proxy passes on what it asks. The proxy is its teeth too: it leaves a member
 * out of an answer, or says 500, and the program has to find either.
 */
import { createServer, request } from "node:http";
import { join } from "node:path";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { listenLocally } from "./listen.ts";
import { requirePythonTools } from "./tools.ts";

const TIMEOUT_MS = 300_000;
const MAX_TOLD_CHARS = 500;
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_schema_conformance",
].join(",");
/** In CI one question a row, of what the program makes up; else three, and the document's own examples. */
const IS_SHORT = Boolean(process.env.CI);
/** Rows that are asked elsewhere: what they answer never ends, or takes the server out of the game for the others. */
const LEFT_OUT = ["/v1/live", "/v1/policy/replays", "/v1/policy/freeze"];

export const openapiJudge: Judge = {
  name: "Schemathesis on docs/openapi.json and a running server",
  run: judgeOpenapi,
};

/** What stands between the program and the server. @returns the body that goes on. */
type Bend = (answer: { readonly status: number; readonly text: string }) => {
  readonly status: number;
  readonly text: string;
};

const asItIs: Bend = (answer) => answer;

async function judgeOpenapi(lab: Lab): Promise<Findings> {
  const bin = await requirePythonTools(lab, "openapi");
  const server = await startTestServer();
  const verdicts: Verdict[] = [];
  let asked = 0;
  const hear = async (name: string, expected: Verdict["expected"], bend: Bend, more: readonly string[]) => {
    const proxy = await openProxy(server, bend);
    try {
      const { code, stdout } = await runCommand(join(bin, "st"), argumentsOf(lab, proxy.url, more), {
        timeoutMs: TIMEOUT_MS,
        cwd: lab.scratch,
      });
      // A program that asks nothing finds nothing, and one that does not start refuses nothing.
      if (proxy.asked() === 0)
        throw new Error(`Schemathesis asked nothing: ${stdout.slice(-MAX_TOLD_CHARS)}`);
      asked += proxy.asked();
      verdicts.push({ name, expected, isAccepted: code === 0, said: tellOf(stdout) });
    } finally {
      proxy.close();
    }
  };
  try {
    await hear("every row of the admin socket", "accept", asItIs, []);
    const one = ["--include-path", "/v1/status"];
    await hear("an answer without its epoch", "refuse", withoutEpoch, one);
    await hear("an answer of 500", "refuse", ({ text }) => ({ status: 500, text }), one);
    return countVerdicts(verdicts, `${asked} questions`);
  } finally {
    await server.close();
    server.home.remove();
  }
}

const withoutEpoch: Bend = ({ status, text }) => ({ status, text: text.replace('"epoch":', '"epoche":') });

function argumentsOf({ root }: Lab, url: string, more: readonly string[]): readonly string[] {
  return [
    "--no-color",
    "run",
    join(root, "docs", "openapi.json"),
    ...["--url", url, "--phases", IS_SHORT ? "fuzzing" : "examples,fuzzing", "--checks", CHECKS],
    ...["--max-examples", IS_SHORT ? "1" : "3", "--generation-deterministic"],
    ...["--suppress-health-check", "all", "--include-tag", "admin", "--continue-on-failure"],
    ...LEFT_OUT.flatMap((path) => ["--exclude-path", path]),
    ...more,
  ];
}

/** What it found, short enough for a line. */
function tellOf(stdout: string): string {
  const lines = stdout.split("\n").filter((line) => /^(_{3,} \w+ |- )|^\[\d+\]/.test(line));
  return lines.slice(0, 40).join("; ");
}

async function openProxy({ adminSocket }: Pick<TestServer, "adminSocket">, bend: Bend) {
  let asked = 0;
  const proxy = createServer((incoming, outgoing) => {
    asked += 1;
    const { method, url: path, headers } = incoming;
    const passed = request({ socketPath: adminSocket, method, path, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () => {
        const bent = bend({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString("latin1") });
        const type = answer.headers["content-type"];
        outgoing.writeHead(bent.status, type === undefined ? {} : { "content-type": type });
        outgoing.end(Buffer.from(bent.text, "latin1"));
      });
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  });
  const port = await listenLocally(proxy);
  return {
    url: `http://127.0.0.1:${port}`,
    asked: () => asked,
    close: () => {
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}
