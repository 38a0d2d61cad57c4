/**
 * A stock `opa run` governed by a server of ours: it finds its configuration by discovery, pulls and verifies our
 * bundles, answers by them as our engine does, and its decisions and its state arrive in the ledger. It has to refuse a
 * bundle that a stranger signed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { questions, sorted } from "../policies/agreement.ts";
import { createBuiltinPolicy } from "../server/opa/builtin.ts";
import { createExternalOpa } from "../server/opa/external.ts";
import { createOwner, enrolAgent, enrolVerifier, parseAnswer } from "../test/support/actors.ts";
import { jsonOf, sendAdmin } from "../test/support/http.ts";
import { createPolicyKey, exampleFiles, loadBundle, packSigned } from "../test/support/policies.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { runCommand } from "./command.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeUnavailable,
  type Lab,
  type Verdict,
} from "./judge.ts";
import { generate } from "./policy-judge.ts";
import { requireOpa } from "./tools.ts";

/** Starting, discovery, download and the first upload; OPA polls every few seconds. */
const PATIENCE_MS = 40_000;
const ASKED = 40;
/** Questions that nobody wrote down, beside those of the policy's own agreement. */
const GENERATED = 2000;

const policyView = z.object({ bundle_key: z.object({ id: z.string(), pem: z.string() }) });
const page = z.object({
  events: z.array(z.object({ kind: z.string(), outcome: z.string(), reasons: z.array(z.string()) })),
});
const evaluated = z.object({ decision: z.boolean() });
const answered = z.object({ result: z.json().optional() });

export const stockOpaJudge: Judge = { name: "opa run 1.18.1, governed", run: judgeStockOpa };

async function judgeStockOpa(lab: Lab): Promise<Findings> {
  const opa = await requireOpa(lab);
  const folder = join(lab.scratch, "stock-opa");
  mkdirSync(folder);
  const web = await makeWebCertificate(folder);
  const key = createPolicyKey("release");
  const server = await startTestServer({
    policy: {
      listener: { port: 0, ...web },
      signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }],
    },
  });
  try {
    await loadBundle(server.adminSocket, packSigned(exampleFiles(1), key));
    const verifier = await enrolVerifier(server, "stock-opa");
    writeFileSync(join(folder, "svid.pem"), verifier.tls.cert);
    writeFileSync(join(folder, "svid.key"), verifier.tls.key, { mode: 0o600 });
    const { bundle_key } = parseAnswer(
      policyView,
      await sendAdmin(server.adminSocket, { target: "/v1/policy" }),
    );
    const keys = { [bundle_key.id]: bundle_key.pem, [key.id]: readFileSync(key.publicKeyFile, "utf8") };
    const setup = { opa, folder, ca: web.certFile, url: String(server.policyUrl), trusted: bundle_key.id };
    return countVerdicts([
      ...(await judgeGoverned(server, lab, { ...setup, keys })),
      ...(await judgeTampered({ ...setup, keys, web })),
      ...(await judgeStranger({ ...setup, keys })),
    ]);
  } finally {
    await server.close();
    server.home.remove();
  }
}

interface Setup {
  readonly opa: string;
  readonly folder: string;
  readonly ca: string;
  readonly url: string;
  /** Id of the key that signs discovery and the built-in bundle. */
  readonly trusted: string;
  readonly keys: Readonly<Record<string, string>>;
}

async function judgeGoverned(server: TestServer, lab: Lab, setup: Setup): Promise<readonly Verdict[]> {
  const run = startOpa({ ...setup, name: "governed" });
  try {
    const isReady = await until(() =>
      run.ask("/health?bundles&plugins").then(({ status }) => status === 200),
    );
    if (!isReady) return [verdict("a stock OPA with our bundles becomes ready", "accept", false, run.said())];
    const asked = questions().slice(0, ASKED);
    const { engine } = createBuiltinPolicy(join(lab.root, "policies"));
    const ours = asked.map((question) => sorted(engine.evaluate(JSON.parse(JSON.stringify(question)))));
    const theirs: unknown[] = [];
    for (const input of asked) {
      const { body } = await run.ask("/v1/data/trustwarden/decision/result", { input });
      theirs.push(sorted(answered.parse(body).result));
    }
    const custom = await run.ask("/v1/data/custom/authzen", {
      input: {
        subject: { type: "user", id: "alice" },
        resource: { type: "record" },
        action: { name: "read" },
      },
    });
    const hasLogs = await until(async () => (await eventsOf(server, "evaluation")).length >= ASKED + 1);
    const denied = (await eventsOf(server, "evaluation")).filter(
      ({ outcome }) => outcome === "denied",
    ).length;
    const external = await judgeExternal(lab, setup, run);
    const hasStatus = await until(async () => (await eventsOf(server, "policy")).length >= 2);
    return [
      verdict("a stock OPA becomes ready with the bundles that discovery names", "accept", true),
      verdict("it answers by the built-in bundle as our engine", "accept", isDeepStrictEqual(ours, theirs)),
      verdict("it answers by the custom bundle", "accept", answered.parse(custom.body).result === true),
      verdict("every decision of it is in the ledger", "accept", hasLogs, run.said()),
      verdict("its denials are denials there", "accept", denied > 0),
      verdict("its state is in the ledger", "accept", hasStatus, run.said()),
      ...external,
    ];
  } finally {
    await run.stop();
  }
}

/** The same OPA as the engine of another server: asked by our adapter, and missed when it is gone. */
async function judgeExternal(lab: Lab, { folder }: Setup, run: RunningOpa): Promise<readonly Verdict[]> {
  const socket = join(folder, "governed.sock");
  const { engine } = createBuiltinPolicy(join(lab.root, "policies"));
  const adapter = createExternalOpa({ socket, deadlineMs: 5000 });
  const asked = [...questions(), ...Array.from({ length: GENERATED }, () => generate(lab.random))];
  let equal = 0;
  for (const question of asked) {
    const input = JSON.parse(JSON.stringify(question));
    const [ours, theirs] = [sorted(engine.evaluate(input)), sorted(await adapter.evaluate(input))];
    if (isDeepStrictEqual(ours, theirs)) equal += 1;
  }
  adapter.close();
  const server = await startTestServer({ policy: { opa: { socket, deadlineMs: 2000 } } });
  try {
    const agent = await enrolAgent(server, await createOwner(server));
    const ask = async () => {
      const body = JSON.stringify({
        subject: { type: "instance", id: agent.answer.instance_id },
        action: { name: "read" },
        resource: { type: "transactions", id: "1" },
      });
      const answer = await sendAdmin(server.adminSocket, {
        method: "POST",
        target: "/access/v1/evaluation",
        body,
      });
      return evaluated.parse(jsonOf(answer)).decision;
    };
    const isAllowed = await ask();
    await run.stop();
    return [
      verdict(
        `it answers ${asked.length} questions of our adapter as the Wasm`,
        "accept",
        equal === asked.length,
      ),
      verdict("a server whose engine it is allows what it allows", "accept", isAllowed),
      verdict("a decision after it is gone", "refuse", await ask()),
    ];
  } finally {
    await server.close();
    server.home.remove();
  }
}

/** A host with the right certificate that gives out a bundle which somebody else signed. */
async function judgeTampered(
  setup: Setup & { readonly web: { readonly certFile: string; readonly keyFile: string } },
): Promise<readonly Verdict[]> {
  const posing = { ...createPolicyKey("posing"), id: setup.trusted };
  const forged = packSigned(
    new Map([
      [".manifest", Buffer.from('{"revision":"x","roots":["discovery"]}')],
      ["data.json", Buffer.from('{"discovery":{}}')],
    ]),
    posing,
    "trustwarden-builtin",
  );
  const host = createServer(
    { cert: readFileSync(setup.web.certFile), key: readFileSync(setup.web.keyFile) },
    (_request, response) => response.setHeader("content-type", "application/gzip").end(forged),
  );
  await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
  const address = host.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const run = startOpa({ ...setup, url: `https://127.0.0.1:${port}`, name: "tampered" });
  try {
    const isRefused = await until(async () => run.said().includes("failed to verify JWT signature"));
    return [verdict("a bundle that a stranger signed", "refuse", !isRefused, run.said())];
  } finally {
    await run.stop();
    host.close();
    host.closeAllConnections();
  }
}

/** An OPA without an SVID gets nothing. */
async function judgeStranger(setup: Setup): Promise<readonly Verdict[]> {
  const run = startOpa({ ...setup, name: "stranger", isAnonymous: true });
  try {
    const isRefused = await until(async () => run.said().includes("server replied with Unauthorized"));
    return [verdict("an OPA without an SVID", "refuse", !isRefused, run.said())];
  } finally {
    await run.stop();
  }
}

interface RunningOpa {
  ask(path: string, body?: object): Promise<{ readonly status: number; readonly body: unknown }>;
  said(): string;
  stop(): Promise<void>;
}

function startOpa(setup: Setup & { readonly name: string; readonly isAnonymous?: boolean }): RunningOpa {
  const { opa, folder, ca, url, keys, trusted, name } = setup;
  const config = {
    services: {
      trustwarden: {
        url: `${url}/v1/opa`,
        tls: { ca_cert: ca },
        ...(setup.isAnonymous === true
          ? {}
          : {
              credentials: {
                client_tls: { cert: join(folder, "svid.pem"), private_key: join(folder, "svid.key") },
              },
            }),
      },
    },
    keys: Object.fromEntries(Object.entries(keys).map(([id, pem]) => [id, { algorithm: "ES256", key: pem }])),
    discovery: {
      service: "trustwarden",
      resource: "bundles/discovery.tar.gz",
      decision: "discovery",
      signing: { keyid: trusted, scope: "trustwarden-builtin" },
    },
  };
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config));
  const socket = join(folder, `${name}.sock`);
  const child = spawn(opa, [
    "run",
    "--server",
    "--addr",
    `unix://${socket}`,
    "--config-file",
    file,
    "--skip-version-check",
  ]);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => lines.push(String(chunk)));
  return {
    ask: (path, body) => askOver(socket, path, body),
    said: () => lines.join("").slice(-3000),
    stop: () => stop(child),
  };
}

async function askOver(socketPath: string, path: string, body?: object) {
  const answer = await sendAdmin(socketPath, {
    method: body === undefined ? "GET" : "POST",
    target: path,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: jsonOf(answer) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGTERM");
  await gone;
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    // Safe to go on: what does not answer yet is asked again until the time is over.
    if (await isSo().catch(() => false)) return true;
    await setTimeout(200);
  }
  return false;
}

async function eventsOf(server: TestServer, kind: string) {
  const target = `/v1/events?kind=${kind}&limit=500`;
  return parseAnswer(page, await sendAdmin(server.adminSocket, { target })).events;
}

async function makeWebCertificate(folder: string) {
  const certFile = join(folder, "web.pem");
  const keyFile = join(folder, "web.key");
  const made = await runCommand(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...[
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-out",
        certFile,
        "-keyout",
        keyFile,
      ],
    ],
    { timeoutMs: 10_000 },
  );
  if (made.code !== 0) throw new JudgeUnavailable(`openssl: ${made.stderr}`);
  return { certFile, keyFile };
}

function verdict(name: string, expected: Verdict["expected"], isAccepted: boolean, said?: string): Verdict {
  return { name, expected, isAccepted, said };
}
