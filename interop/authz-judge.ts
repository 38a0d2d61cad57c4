/**
 * Envoy's external authorization, asked by a client from the published protos (`go-control-plane`): who comes and what
 * it wants, allowed and denied, and what is no proxy of ours.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { createOwner, enrolAgent, enrolVerifier, type TestInstance } from "../test/support/actors.ts";
import { sendAdmin } from "../test/support/http.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { runCommand } from "./command.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requireGoTools } from "./tools.ts";

const TIMEOUT_MS = 30_000;
const ROUTES = [
  {
    method: "GET",
    path: "/transactions",
    action: "read:transactions",
    resource: "sqlite://finance/transactions",
  },
  {
    method: "DELETE",
    path: "/transactions/{id}",
    action: "delete:transactions:{id}",
    resource: "sqlite://finance/transactions/{id}",
  },
];

const answer = z.object({
  grpc: z.string(),
  allowed: z.boolean(),
  denied: z.number(),
  headers: z.record(z.string(), z.string()).nullable(),
});
type Answer = z.infer<typeof answer>;

interface Question {
  readonly principal: string;
  readonly certificate?: string;
  readonly method: string;
  readonly path: string;
}

export const authzJudge: Judge = { name: "envoy ext_authz by go-control-plane 1.37.0", run: judgeAuthz };

async function judgeAuthz(lab: Lab): Promise<Findings> {
  const { authzjudge } = await requireGoTools(lab);
  const folder = join(lab.scratch, "authz");
  mkdirSync(folder);
  const server = await startTestServer({ policy: { envoy: { port: 0, services: { edge: ROUTES } } } });
  try {
    const agent = await enrolAgent(server, await createOwner(server), { scope: ["read:transactions"] });
    const other = await enrolAgent(server, await createOwner(server, "bob"), { name: "other" });
    const edge = await enrolVerifier(server, "edge");
    const elsewhere = await enrolVerifier(server, "elsewhere");
    const judge = (caller: TestInstance | null, asked: readonly Question[]) =>
      ask(authzjudge, { server, folder, caller, asked });
    return countVerdicts([
      ...(await judgeProxy({ server, agent, other, judge: (asked) => judge(edge, asked) })),
      ...(await judgeStrangers(agent, {
        elsewhere: (asked) => judge(elsewhere, asked),
        asAgent: (asked) => judge(agent, asked),
        anonymous: (asked) => judge(null, asked),
      })),
    ]);
  } finally {
    await server.close();
    server.home.remove();
  }
}

type Ask = (asked: readonly Question[]) => Promise<readonly Answer[]>;

async function judgeProxy({
  server,
  agent,
  other,
  judge,
}: {
  readonly server: TestServer;
  readonly agent: TestInstance;
  readonly other: TestInstance;
  readonly judge: Ask;
}): Promise<readonly Verdict[]> {
  const principal = agent.answer.spiffe_id;
  const read = { principal, method: "GET", path: "/transactions?from=2026" };
  const denied: readonly (Question & { readonly name: string })[] = [
    { ...read, name: "an action beyond the scope", method: "DELETE", path: "/transactions/1" },
    { ...read, name: "a path that no table has", path: "/other" },
    { ...read, name: "a path with two readings", path: "/a/../transactions" },
    { ...read, name: "nobody", principal: "" },
    {
      ...read,
      name: "an instance that nobody knows",
      principal: "spiffe://acme.test/x/inst-01J0000000000000000000000A",
    },
    { ...read, name: "a class of instances", principal: principal.slice(0, principal.lastIndexOf("/")) },
    { ...read, name: "another's certificate", certificate: encodeURIComponent(other.tls.cert) },
    { ...read, name: "no certificate at all", certificate: "x" },
  ];
  const certificate = encodeURIComponent(
    `${agent.tls.cert.split("-----END CERTIFICATE-----")[0]}-----END CERTIFICATE-----\n`,
  );
  const [allowed, shown, ...others] = await judge([read, { ...read, certificate }, ...denied]);
  await sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/revocations",
    body: JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } }),
  });
  const [revoked] = await judge([read]);
  const event = allowed?.headers?.["x-trustwarden-event"] ?? "";
  const recorded = await sendAdmin(server.adminSocket, { target: `/v1/events/${event}` });
  return [
    verdict("an action within the scope", "accept", allowed?.allowed === true),
    verdict("the same with the certificate", "accept", shown?.allowed === true),
    verdict(
      "the answer names the agent",
      "accept",
      allowed?.headers?.["x-trustwarden-agent"] === agent.answer.agent_id,
    ),
    verdict("the answer's event is in the ledger", "accept", recorded.status === 200),
    ...denied.map(({ name }, index) => {
      const given = others[index];
      const isDenied = given?.grpc === "OK" && !given.allowed && given.denied >= 400;
      return verdict(name, "refuse", !isDenied, JSON.stringify(given));
    }),
    verdict("the agent after it was revoked", "refuse", revoked?.allowed !== false),
  ];
}

async function judgeStrangers(
  agent: TestInstance,
  callers: Readonly<Record<"elsewhere" | "asAgent" | "anonymous", Ask>>,
): Promise<readonly Verdict[]> {
  const read = [{ principal: agent.answer.spiffe_id, method: "GET", path: "/transactions" }];
  const [elsewhere] = await callers.elsewhere(read);
  const [asAgent] = await callers.asAgent(read);
  const [anonymous] = await callers.anonymous(read);
  return [
    verdict("a service by another's table", "refuse", elsewhere?.allowed !== false || elsewhere.denied < 400),
    verdict("an agent that poses as a proxy", "refuse", asAgent?.grpc !== "Unauthenticated"),
    verdict("a proxy without an SVID", "refuse", anonymous?.grpc !== "Unauthenticated"),
  ];
}

async function ask(
  program: string,
  {
    server,
    folder,
    caller,
    asked,
  }: {
    readonly server: TestServer;
    readonly folder: string;
    readonly caller: TestInstance | null;
    readonly asked: readonly Question[];
  },
): Promise<readonly Answer[]> {
  const args = ["-address", `127.0.0.1:${server.envoyPort}`];
  if (caller !== null) {
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(cert, caller.tls.cert);
    writeFileSync(key, caller.tls.key, { mode: 0o600 });
    args.push("-cert", cert, "-key", key);
  }
  const input = asked.map((question) => `${JSON.stringify(question)}\n`).join("");
  const { code, stdout, stderr } = await runCommand(program, args, { timeoutMs: TIMEOUT_MS, input });
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => answer.parse(JSON.parse(line)));
}

function verdict(name: string, expected: Verdict["expected"], isAccepted: boolean, said?: string): Verdict {
  return { name, expected, isAccepted, said };
}
