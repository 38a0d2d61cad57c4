/**
 * One stranger's client at our Workload API: what it fetches, what it sees while the identity rotates and is taken away,
 * and what it says when it has none.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { z } from "zod";
import type { Verdict } from "../judge.ts";
import { STRANGER_UID, type WardenServer } from "./server.ts";
import type { WorkloadClient } from "./tools.ts";

/** A program starts, fetches, watches and ends within it, on a busy machine. */
const SESSION_TIMEOUT_MS = 90_000;
export const AUDIENCE = "https://interop.test";

const step = z.object({
  step: z.string(),
  ids: z.array(z.string()).optional(),
  domains: z.array(z.string()).optional(),
  address: z.string().optional(),
  said: z.string().optional(),
});
/** One line of a client. */
export type Step = z.infer<typeof step>;

/** A program that runs, with its lines as they come. */
export interface Session {
  readonly child: ChildProcess;
  readonly steps: readonly Step[];
  /** All lines, once it has ended or its time is over. */
  readonly ended: Promise<readonly Step[]>;
}

/** Starts a program as some user. */
export function startSession(
  { program, args, changesUser }: WorkloadClient,
  {
    words,
    uid,
    onStep = () => undefined,
  }: {
    readonly words: readonly string[];
    readonly uid?: number | undefined;
    readonly onStep?: (step: Step) => void;
  },
): Session {
  const user = uid === undefined || changesUser ? {} : { uid, gid: uid };
  const told = uid !== undefined && changesUser ? { JUDGE_UID: String(uid) } : {};
  const child = spawn(program, [...args, ...words], {
    ...user,
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
    env: { PATH: process.env.PATH ?? "", HOME: "/tmp", PYTHONDONTWRITEBYTECODE: "1", ...told },
  });
  const steps: Step[] = [];
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaints = `${complaints}${chunk}`.slice(-1000);
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const found = step.parse(JSON.parse(line));
    steps.push(found);
    onStep(found);
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), SESSION_TIMEOUT_MS);
  const ended = new Promise<readonly Step[]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      clearTimeout(timer);
      // A program that says nothing has failed in a way that its own words explain.
      if (steps.length === 0) steps.push({ step: "nothing", said: complaints });
      resolve(steps);
    });
  });
  return { child, steps, ended };
}

/** An instance of the class, and then the class. */
export function areInstanceAndClass(
  [instance = "", ...others]: readonly string[],
  className: string,
): boolean {
  return instance.startsWith(`${className}/inst-`) && others.join() === className;
}

/** The whole story of one client at a fresh server. */
export async function judgeClient(client: WorkloadClient, server: WardenServer): Promise<readonly Verdict[]> {
  const words = ["live", server.socket, AUDIENCE];
  // The Workload API decides by the caller's user, and only root can be another one.
  const stranger =
    process.getuid?.() === 0 ? await startSession(client, { words, uid: STRANGER_UID }).ended : [];
  const failures: string[] = [];
  const attempt = (work: Promise<void>) => {
    work.catch((error: unknown) => {
      failures.push(String(error));
      session.child.kill("SIGKILL");
    });
  };
  const session = startSession(client, {
    words,
    onStep: (found) => {
      if (found.step === "watching") attempt(server.rotate());
      if (found.step === "rotated") attempt(server.withdraw());
      if (found.step === "withdrawn") setTimeout(() => session.child.kill("SIGTERM"), 1_000);
    },
  });
  const steps = await session.ended;
  const last = steps.at(-1);
  const said = failures[0] ?? last?.said ?? last?.step;
  const has = (name: string) => steps.some((found) => found.step === name);
  const idsOf = (name: string) =>
    steps.filter((found) => found.step === name).flatMap((found) => found.ids ?? []);
  const areOurs = (ids: readonly string[]) => areInstanceAndClass(ids, server.pay);
  const domains = steps.find((found) => found.step === "bundles")?.domains ?? [];
  const accept = (name: string, isAccepted: boolean): Verdict => ({
    name,
    expected: "accept",
    isAccepted,
    said,
  });
  const refuse = (name: string, isRefused: boolean): Verdict => ({
    name,
    expected: "refuse",
    isAccepted: !isRefused,
    said,
  });
  return [
    accept("X.509-SVIDs, instance first", areOurs(idsOf("x509"))),
    accept("JWT-SVIDs, validated", areOurs(idsOf("jwt"))),
    accept("bundles", domains.join() === server.trustDomain),
    accept("a rotation on the watch", has("rotated")),
    refuse("a JWT-SVID for another audience", has("audience-refused")),
    refuse("the identity, once it is taken away", has("withdrawn")),
    ...(stranger.length === 0
      ? []
      : [
          refuse(
            "a caller without an identity",
            stranger.some((found) => found.step === "x509-refused"),
          ),
          refuse(
            "its JWT-SVID",
            stranger.some((found) => found.step === "jwt-refused"),
          ),
        ]),
  ];
}
