/** Three libraries and SPIRE's own command, each a client of our Workload API that nobody on this project wrote. */
import { once } from "node:events";
import {
  AUDITOR_UID,
  openTestEndpoint,
  type TestEndpoint,
} from "../../test/workload-api-conformance/memory-endpoint.test.support.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { judgeClient, type Session, type Step, startSession } from "./session.ts";
import { judgeWithSpireAgent } from "./spire-agent.ts";
import { requireGoClient, requirePythonClient, requireRustClient, type WorkloadClient } from "./tools.ts";

const PAY = "spiffe://ours.test/team/pay/inst-1";
const AUDIT = "spiffe://ours.test/team/audit/inst-1";

/** Of `./dev interop`. */
export const workloadJudges: readonly Judge[] = [
  judgeOf("go-spiffe-workload 2.8.1", requireGoClient, converse),
  {
    name: "spire-agent-api 1.15.3",
    run: (lab) => atEndpoint((endpoint) => judgeWithSpireAgent(lab, endpoint)),
  },
  judgeOf("py-spiffe 0.3.2", requirePythonClient),
  judgeOf("rust-spiffe 0.16.1", requireRustClient),
];

function judgeOf(
  name: string,
  install: (lab: Lab) => Promise<WorkloadClient>,
  more: (client: WorkloadClient, endpoint: TestEndpoint) => Promise<readonly Verdict[]> = async () => [],
): Judge {
  return {
    name,
    run: async (lab) => {
      const client = await install(lab);
      return atEndpoint(async (endpoint) => [
        // First, because the other ends with the identity gone.
        ...(await more(client, endpoint)),
        ...(await judgeClient(client, endpoint)),
      ]);
    },
  };
}

async function atEndpoint(judge: (endpoint: TestEndpoint) => Promise<readonly Verdict[]>): Promise<Findings> {
  const endpoint = await openTestEndpoint();
  try {
    return countVerdicts(await judge(endpoint));
  } finally {
    await endpoint.close();
  }
}

/** Mutual TLS between two agents, each of its own user, whose sources are the Workload API; only root can be both. */
async function converse(client: WorkloadClient, { socket }: TestEndpoint): Promise<readonly Verdict[]> {
  if (process.getuid?.() !== 0) return [];
  const server = startSession(client, { words: ["serve", socket, PAY], uid: AUDITOR_UID });
  try {
    const { address = "" } = await firstStep(server);
    const dial = async (expected: string, uid?: number) =>
      (await startSession(client, { words: ["dial", socket, expected, address], uid }).ended).at(-1);
    const answered = (found: Step | undefined) => found?.step === "answered" && found.said === `hello ${PAY}`;
    const verdict = (name: string, expected: "accept" | "refuse", found: Step | undefined): Verdict => ({
      ...{ name, expected, isAccepted: answered(found), said: found?.said },
    });
    return [
      verdict("mutual TLS between two agents", "accept", await dial(AUDIT)),
      verdict("a server that is another agent", "refuse", await dial(PAY)),
      verdict("a caller that is another agent", "refuse", await dial(AUDIT, AUDITOR_UID)),
    ];
  } finally {
    server.child.kill("SIGKILL");
    await server.ended;
  }
}

async function firstStep(session: Session): Promise<Step> {
  while (session.steps.length === 0) {
    if (session.child.stdout === null) break;
    await Promise.race([once(session.child.stdout, "data"), session.ended]);
    // The line is parsed behind the data that it came in.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return session.steps[0] ?? { step: "nothing" };
}
