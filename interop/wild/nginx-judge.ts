/** nginx: the recipe of `docs/guides/x509-nginx.md`, with every kind of caller. */
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { requireOutput } from "../command.ts";
import { countVerdicts, type Findings, type Judge, type Lab } from "../judge.ts";
import { requireProgram } from "../tools.ts";
import { letCallersTry } from "./callers.ts";
import { readBlock } from "./guide.ts";
import { requireNginx, startNginx } from "./nginx.ts";
import { createWildDomain } from "./wild-domain.ts";

const GUIDE = "x509-nginx.md";

export const nginxJudge: Judge = { name: "nginx", run: judgeNginx };

async function judgeNginx(lab: Lab): Promise<Findings> {
  const nginx = await requireNginx();
  await requireProgram("curl", ["--version"], "install curl");
  const wild = await createWildDomain();
  try {
    const { roots, lists, serverCertificate, serverCa } = wild.paths;
    const port = await freePort();
    const block = readBlock(
      lab,
      { guide: GUIDE, name: "agents.conf" },
      { ...roots, ...lists, ...serverCertificate, "127.0.0.1:8443": `127.0.0.1:${port}` },
    );
    const client = readBlock(
      lab,
      { guide: GUIDE, name: "client.sh" },
      { ...serverCa, "localhost:8443": `localhost:${port}` },
    );
    const directory = join(wild.directory, "nginx");
    const running = await startNginx({ nginx, directory, inside: "http", block, port });
    try {
      const verdicts = await letCallersTry(wild, {
        name: "curl to nginx",
        client,
        success: /^payment-agent [0-9A-F]+$/m,
        refresh: () => running.reload(),
      });
      return countVerdicts(verdicts, await versionOf(nginx));
    } finally {
      await running.stop();
    }
  } finally {
    await wild.close();
  }
}

async function versionOf(nginx: string): Promise<string> {
  return requireOutput("sh", ["-c", `${nginx} -v 2>&1`], { timeoutMs: 5000 }).then((text) => text.trim());
}
