/** Four libraries and SPIRE's own command, each a client of our Workload API that nobody on this project wrote. */
import { once } from "node:events";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { federationJudge } from "./federation-judge.ts";
import { judgeSdkPeers } from "./sdk-peers.ts";
import { AUDITOR_UID, openWarden, type WardenServer } from "./server.ts";
import { areInstanceAndClass, judgeClient, type Session, type Step, startSession } from "./session.ts";
import { judgeWithSpireAgent } from "./spire-agent.ts";
import {
  requireGoClient,
  requireJavaClient,
  requirePythonClient,
  requireRustClient,
  type WorkloadClient,
} from "./tools.ts";

/** Of `./dev interop`. */
export const workloadJudges: readonly Judge[] = [
  judgeOf("go-spiffe-workload 2.8.1", requireGoClient, converse),
  { name: "go-spiffe-wit 2.8.1", run: judgeWits },
  {
    name: "spire-agent-api 1.15.3",
    run: (lab) => atServer((server) => judgeWithSpireAgent(lab, server)),
  },
  judgeOf("py-spiffe 0.3.2", requirePythonClient),
  judgeOf("rust-spiffe 0.16.1", requireRustClient),
  judgeOf("java-spiffe 0.8.17", requireJavaClient),
  federationJudge,
];

function judgeOf(
  name: string,
  install: (lab: Lab) => Promise<WorkloadClient>,
  more: (client: WorkloadClient, server: WardenServer) => Promise<readonly Verdict[]> = async () => [],
): Judge {
  return {
    name,
    run: async (lab) => {
      const client = await install(lab);
      return atServer(async (server) => [
        // First, because the other ends with the identity gone.
        ...(await more(client, server)),
        ...(await judgeClient(client, server)),
      ]);
    },
  };
}

async function atServer(
  judge: (server: WardenServer) => Promise<readonly Verdict[]>,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<Findings> {
  const server = await openWarden(settings);
  try {
    return countVerdicts(await judge(server));
  } finally {
    await server.close();
  }
}

/** The one library that knows WIT-SVIDs: what it makes of ours, and of a server that issues none. */
async function judgeWits(lab: Lab): Promise<Findings> {
  const client = await requireGoClient(lab);
  const ask = ({ socket }: WardenServer) =>
    startSession(client, { words: ["wit", socket, "any"] }).ended.then((steps) => steps.at(-1));
  return atServer(
    async (server) => {
      const before = await ask(server);
      await server.force("wit");
      const after = await ask(server);
      const without = await openWarden();
      const refused = await ask(without).finally(() => without.close());
      const isOurs = (found: Step | undefined) =>
        found?.step === "wit" && areInstanceAndClass(found.ids ?? [], server.pay);
      return [
        {
          name: "WIT-SVIDs, instance first",
          expected: "accept",
          isAccepted: isOurs(before),
          said: before?.said,
        },
        {
          name: "WIT-SVIDs of another key",
          expected: "accept",
          isAccepted: isOurs(after),
          said: after?.said,
        },
        {
          name: "WIT-SVIDs where none are issued",
          expected: "refuse",
          isAccepted: refused?.step !== "wit-refused" || refused.said?.includes("Unimplemented") !== true,
          said: refused?.said,
        },
      ];
    },
    { workloadApi: { witSvid: true } },
  );
}

/** Mutual TLS between two agents, each of its own user, whose sources are the Workload API; only root can be both. */
async function converse(client: WorkloadClient, warden: WardenServer): Promise<readonly Verdict[]> {
  const { socket, pay, audit } = warden;
  if (process.getuid?.() !== 0) return [];
  const server = startSession(client, { words: ["serve", socket, pay], uid: AUDITOR_UID });
  try {
    const { address = "" } = await firstStep(server);
    const dial = async (expected: string, uid?: number) =>
      (await startSession(client, { words: ["dial", socket, expected, address], uid }).ended).at(-1);
    const answered = (found: Step | undefined) =>
      found?.step === "answered" && found.said?.startsWith(`hello ${pay}/inst-`) === true;
    const verdict = (name: string, expected: "accept" | "refuse", found: Step | undefined): Verdict => ({
      ...{ name, expected, isAccepted: answered(found), said: found?.said },
    });
    return [
      verdict("mutual TLS between two agents", "accept", await dial(audit)),
      verdict("a server that is another agent", "refuse", await dial(pay)),
      verdict("a caller that is another agent", "refuse", await dial(audit, AUDITOR_UID)),
      ...(await judgeSdkPeers(client, warden, address)),
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
