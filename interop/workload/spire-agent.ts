/** `spire-agent api`: SPIRE's own command at our Workload API, as any operator would use it. */

import { spawn } from "node:child_process";
import { z } from "zod";
import type { Lab, Verdict } from "../judge.ts";
import { requireSpire } from "../spire/tools.ts";
import { STRANGER_UID, type WardenServer } from "./server.ts";
import { AUDIENCE } from "./session.ts";

const COMMAND_MS = 15_000;
const WATCH_MS = 15_000;

const fetchedX509 = z.object({ svids: z.array(z.object({ spiffe_id: z.string() })) });
const fetchedJwt = z.array(
  z.object({ svids: z.array(z.object({ spiffe_id: z.string(), svid: z.string() })).optional() }),
);

interface Said {
  readonly code: number | null;
  readonly text: string;
}

export async function judgeWithSpireAgent({ root }: Lab, server: WardenServer): Promise<readonly Verdict[]> {
  const { agent } = await requireSpire(root);
  const place = ["-socketPath", server.socket.replace("unix://", "")];
  const api = (args: readonly string[], uid?: number) =>
    runAs(agent, ["api", ...args, ...place], { timeMs: COMMAND_MS, uid });
  const x509 = await api(["fetch", "x509", "-output", "json"]);
  const jwt = await api(["fetch", "jwt", "-audience", AUDIENCE, "-output", "json"]);
  const [token] = jwt.code === 0 ? tokensOf(jwt.text) : [];
  const validate = (audience: string) =>
    api(["validate", "jwt", "-audience", audience, "-svid", token ?? ""]);
  const good = await validate(AUDIENCE);
  const foreign = await validate("https://other.test");
  const stranger = process.getuid?.() === 0 ? await api(["fetch", "x509"], STRANGER_UID) : null;
  const watched = await watch(agent, place, server);
  const gone = await api(["fetch", "jwt", "-audience", AUDIENCE]);
  const accept = (name: string, isAccepted: boolean, said: Said): Verdict => ({
    ...{ name, expected: "accept", isAccepted, said: said.text.slice(-300) },
  });
  const refuse = (name: string, said: Said): Verdict => ({
    ...{ name, expected: "refuse", isAccepted: said.code === 0, said: said.text.slice(-300) },
  });
  const noIdentity = (name: string, said: Said): Verdict => ({
    ...{
      name,
      expected: "refuse",
      isAccepted: !said.text.includes("no identity issued"),
      said: said.text.slice(-300),
    },
  });
  return [
    accept("api fetch x509", x509.code === 0 && idsOf(x509.text).length === 2, x509),
    accept("api fetch jwt", token !== undefined, jwt),
    accept("api validate jwt", good.code === 0 && good.text.includes("SVID is valid"), good),
    accept("api watch, two states", (watched.text.match(/Received 2 svid/g)?.length ?? 0) === 2, watched),
    refuse("api validate jwt for another audience", foreign),
    noIdentity("api watch when the identity is taken away", watched),
    noIdentity("api fetch jwt after it", gone),
    ...(stranger === null ? [] : [noIdentity("api fetch x509 of a caller without an identity", stranger)]),
  ];
}

function idsOf(text: string): readonly string[] {
  return fetchedX509.parse(JSON.parse(text)).svids.map(({ spiffe_id }) => spiffe_id);
}

function tokensOf(text: string): readonly string[] {
  return fetchedJwt.parse(JSON.parse(text)).flatMap(({ svids = [] }) => svids.map(({ svid }) => svid));
}

/** Watches until the stranger says that the identity is gone, or its time is over. */
function watch(agent: string, place: readonly string[], server: WardenServer): Promise<Said> {
  let rotations = 0;
  return runAs(agent, ["api", "watch", ...place], {
    timeMs: WATCH_MS,
    onText: (text, end) => {
      const received = text.match(/Received 2 svid/g)?.length ?? 0;
      if (received === 1 && rotations === 0) {
        rotations += 1;
        server.rotate().catch(end);
      }
      if (received === 2 && rotations === 1) {
        rotations += 1;
        server.withdraw().catch(end);
      }
      if (text.includes("no identity issued")) end();
    },
  });
}

function runAs(
  program: string,
  args: readonly string[],
  {
    timeMs,
    uid,
    onText = () => undefined,
  }: {
    readonly timeMs: number;
    readonly uid?: number | undefined;
    readonly onText?: (text: string, end: () => void) => void;
  },
): Promise<Said> {
  const user = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(program, [...args], { ...user, stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  const end = () => void child.kill("SIGKILL");
  const timer = setTimeout(end, timeMs);
  let text = "";
  const take = (chunk: Buffer) => {
    text += String(chunk);
    onText(text, end);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, text });
    });
  });
}
