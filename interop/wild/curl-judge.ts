/** curl and OpenSSL: the recipes of `docs/guides/x509-curl.md`. */
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput, runCommand } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { requireProgram } from "../tools.ts";
import { letCallersTry } from "./callers.ts";
import { readBlock } from "./guide.ts";
import { type RunningProgram, startProgram } from "./program.ts";
import { createWildDomain, type WildDomain } from "./wild-domain.ts";

const GUIDE = "x509-curl.md";
const TIMEOUT_MS = 15_000;

export const curlJudge: Judge = { name: "curl", run: judgeCurl };

async function judgeCurl(lab: Lab): Promise<Findings> {
  const version = await requireProgram("curl", ["--version"], "install curl");
  await requireProgram("openssl", ["version"], "install OpenSSL 3");
  const wild = await createWildDomain();
  try {
    const verdicts = [...(await judgeAgents(lab, wild)), ...(await judgeServer(lab, wild))];
    return countVerdicts(verdicts, version.split(" ").slice(0, 2).join(" "));
  } finally {
    await wild.close();
  }
}

/** curl with each identity, to a listener that has nothing but OpenSSL's own checks. */
async function judgeAgents(lab: Lab, wild: WildDomain): Promise<readonly Verdict[]> {
  const { roots, lists, serverCertificate, serverCa } = wild.paths;
  const port = await freePort();
  const trust = { "/etc/trustwarden/trust.pem": `${wild.directory}/trust.pem` };
  const server = readBlock(
    lab,
    { guide: GUIDE, name: "server.sh" },
    { ...serverCertificate, ...trust, "-accept 8443": `-accept ${port}` },
  );
  const join = readBlock(lab, { guide: GUIDE, name: "trust.sh" }, { ...roots, ...lists, ...trust });
  const client = readBlock(
    lab,
    { guide: GUIDE, name: "client.sh" },
    { ...serverCa, "localhost:8443": `localhost:${port}` },
  );
  let running: RunningProgram | undefined;
  try {
    return await letCallersTry(wild, {
      name: "curl to OpenSSL",
      client,
      success: /TLSv1\.3/,
      // As the guide says: which agent it is would be the program's to ask.
      expected: { "of another class": "accept" },
      // It reads the lists once, when it starts.
      refresh: async () => {
        await running?.stop();
        await requireOutput("sh", ["-c", join], { timeoutMs: TIMEOUT_MS });
        running = await startProgram("sh", ["-c", `exec ${server}`], { port });
      },
    });
  } finally {
    await running?.stop();
  }
}

/** curl to the TrustWarden server: by its key, by another's, and over the admin socket. */
async function judgeServer(lab: Lab, { server }: WildDomain): Promise<readonly Verdict[]> {
  const address = new URL(server.url).host;
  const at = { "127.0.0.1:7443": address };
  const sh = (lines: string, env: Readonly<Record<string, string>> = {}) =>
    runCommand("sh", ["-c", lines], { timeoutMs: TIMEOUT_MS, env });
  const pin = await requireOutput("sh", ["-c", readBlock(lab, { guide: GUIDE, name: "pin.sh" }, at)], {
    timeoutMs: TIMEOUT_MS,
  });
  const pinned = readBlock(lab, { guide: GUIDE, name: "pinned.sh" }, at);
  const other = Buffer.alloc(32, 1).toString("base64");
  const socket = readBlock(
    lab,
    { guide: GUIDE, name: "socket.sh" },
    { "/var/lib/trustwarden/admin.sock": server.adminSocket },
  );
  const results = [
    { name: "curl to the pinned server", expected: "accept", result: await sh(pinned, { PIN: pin.trim() }) },
    {
      name: "curl to a server with another key",
      expected: "refuse",
      result: await sh(pinned, { PIN: other }),
    },
    { name: "curl over the admin socket", expected: "accept", result: await sh(socket) },
  ] as const;
  return results.map(({ name, expected, result: { code, stdout, stderr } }) => ({
    name,
    expected,
    isAccepted: code === 0 && stdout.includes("-----BEGIN"),
    said: `${code}: ${stderr}`,
  }));
}
