/** The command end to end: `warden up` as a process of its own, an agent by the SDK, every command against them. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AgentIdentity } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, type Ran, runWarden } from "./testing.ts";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));

const home = createHome();
const directories = ["--data", join(home, "data"), "--config-dir", join(home, "config")];
let server: ChildProcess;
let orchestrator: AgentIdentity;
let worker: AgentIdentity;
let eventId: string;
let deniedId: string;

function warden(...args: readonly string[]): Promise<Ran> {
  return runWarden(home, [...args, ...directories]);
}

/** The JSON answer of a command that succeeds. */
async function facts(...args: readonly string[]) {
  const { exitCode, stdout, stderr } = await warden(...args, "--json");
  expect(stderr).toBe("");
  expect(exitCode, stdout).toBe(0);
  return JSON.parse(stdout);
}

async function startServer(): Promise<ChildProcess> {
  const flags = ["--trust-domain", "acme.test", "--port", "0", "--stop-port", "0", "--log-level", "error"];
  const child = spawn(process.execPath, [MAIN, "up", ...flags, ...directories], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", () => resolve());
    child.once("exit", () => reject(new Error("the server did not start")));
  });
  return child;
}

beforeAll(async () => {
  server = await startServer();
  await facts("owner", "create", "alice");
  const scope = ["--scope", "write:reports", "--scope", "read:files"];
  const { ticket } = await facts(
    "agent",
    "ticket",
    "--owner",
    "alice",
    "--path",
    "team",
    "--name",
    "boss",
    ...scope,
  );
  orchestrator = await AgentIdentity.create({ name: "boss", ticket });
  worker = await orchestrator.spawn({ name: "worker", scope: ["write:reports"] });
  await worker.act("write:reports", "file://reports/q3", null, async () => undefined);
  eventId = worker.receipts.at(-1)?.receipt.event_id ?? "";
  await worker.act("read:files", "file://secret", null, async () => undefined).catch(() => undefined);
  deniedId = worker.receipts.at(-1)?.receipt.event_id ?? "";
});

afterAll(async () => {
  await worker?.close();
  await orchestrator?.close();
  const gone = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  await gone;
  rmSync(home, { recursive: true, force: true });
});

describe("the registry", () => {
  test("lists owners and agents, and draws the tree from the owner down", async () => {
    expect((await facts("owner", "list")).owners).toMatchObject([
      { name: "alice", status: "live", agents: 2 },
    ]);
    const { agents } = await facts("agent", "list");
    expect(agents.map((agent: { readonly name: string }) => agent.name).sort()).toEqual(["boss", "worker"]);
    const { stdout } = await warden("agent", "tree");
    expect(stdout).toMatch(
      /^alice \(own_\w+\)\n└── team\/boss .*\n {4}└── team\/worker .*live.*\[write:reports\]\n$/,
    );
  });

  test("shows an agent by name, place, id and instance alike", async () => {
    for (const text of ["worker", "team/worker", worker.agentId, worker.instanceId, worker.id])
      expect((await facts("agent", "show", text)).agent_id).toBe(worker.agentId);
    expect((await warden("agent", "show", "other/worker")).exitCode).toBe(1);
  });

  test("is open to its owner over HTTPS with the owner's key", async () => {
    const { agents } = await facts("agent", "list", "--as", "alice");
    expect(agents).toHaveLength(2);
    const { exitCode, stderr } = await warden("owner", "list", "--as", "alice");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("warden: The owners could not be listed.");
  });

  test("does not hear an owner whose key others may read", async () => {
    const key = join(home, "config", "owners", "alice.pem");
    chmodSync(key, 0o644);
    const { exitCode, stderr } = await warden("agent", "list", "--as", "alice");
    chmodSync(key, 0o600);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(file_mode_too_open)");
  });

  test("does not talk to a server that is not the pinned one", async () => {
    const profile = join(home, "config", "owners", "alice.json");
    const text = readFileSync(profile, "utf8");
    writeFileSync(
      profile,
      text.replace(/"authorities_sha256": ".{43}"/, `"authorities_sha256": "${"A".repeat(43)}"`),
    );
    const { exitCode, stderr } = await warden("agent", "list", "--as", "alice");
    writeFileSync(profile, text);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(server_untrusted)");
  });
});

describe("the first two questions", () => {
  test("who: names the instance that signed, with a proof, and says unwitnessed", async () => {
    const who = await facts("who", eventId);
    expect(who).toMatchObject({
      name: "worker",
      agent_id: worker.agentId,
      agent_identity: worker.id,
      action: "write:reports",
      outcome: "success",
      proof: { verified: true, witnessed: false },
    });
    expect((await warden("who", eventId)).stdout).toMatch(/worker asked for write:reports[\s\S]*unwitnessed/);
  });

  test("why: walks the chain to the owner's signature, each link proven", async () => {
    const why = await facts("why", eventId);
    expect(why).toMatchObject({ allow: true, class: "B", enforcement: "self", proof: { verified: true } });
    expect(why.authorized_by).toMatch(/^policy:trustwarden-builtin-v1@/);
    expect(why.links).toMatchObject([
      {
        name: "boss",
        agent_id: orchestrator.agentId,
        by: expect.stringMatching(/^ticket signed by owner own_/),
      },
      { name: "worker", agent_id: worker.agentId, by: `granted by ${orchestrator.id}` },
    ]);
  });

  test("an owner asks them over HTTPS too, and can prove the answer", async () => {
    expect(await facts("who", eventId, "--as", "alice")).toMatchObject({
      name: "worker",
      proof: { verified: true },
    });
    expect(await facts("why", eventId, "--as", "alice")).toMatchObject({
      allow: true,
      proof: { verified: true },
    });
  });

  test("a denied action names who asked, and that nobody authorized it", async () => {
    expect(await facts("who", deniedId)).toMatchObject({ outcome: "denied", action: "read:files" });
    const { stdout } = await warden("why", deniedId);
    expect(stdout).toContain("Nobody did.");
    expect(stdout).toContain("scope_not_covered");
  });

  test("an unknown event is not found", async () => {
    const { exitCode, stderr } = await warden("who", "01a20000-0000-7000-8000-000000000000");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("(not_found)");
  });
});

describe("the ledger", () => {
  test("is queried by agent, action, outcome and time", async () => {
    const { events } = await facts(
      "ledger",
      "query",
      "--agent",
      worker.agentId,
      "--kind",
      "action",
      "--since",
      "1h",
    );
    expect(events.map((event: { readonly event_id: string }) => event.event_id).sort()).toEqual(
      [eventId, deniedId].sort(),
    );
    expect(
      (await facts("ledger", "query", "--action", "read:files", "--outcome", "denied")).events,
    ).toHaveLength(1);
    expect((await facts("ledger", "query", "--agent", worker.agentId, "--until", "1h")).events).toEqual([]);
  });

  test("is queried by names too, and never answers a name that nobody has with an empty page", async () => {
    const byName = await facts("ledger", "query", "--agent", "worker", "--kind", "action");
    expect(byName.events).toHaveLength(2);
    expect((await facts("ledger", "query", "--owner", "alice", "--kind", "action")).events).toHaveLength(2);
    for (const [flag, code] of [
      ["--agent", "not_found"],
      ["--owner", "owner_unknown"],
    ] as const) {
      const { exitCode, stderr } = await warden("ledger", "query", flag, "nobody");
      expect(exitCode).toBe(1);
      expect(stderr).toContain(`(${code})`);
    }
  });

  test("answers what an owner's agents did, what a policy decided and what happened in a job, proven on request", async () => {
    const idsOf = (page: { readonly events: readonly { readonly event_id: string }[] }) =>
      page.events.map(({ event_id }) => event_id);
    const owner = await facts("ledger", "owner", "alice", "--order", "oldest");
    expect(idsOf(owner)).toEqual([eventId, deniedId]);
    const version = String(owner.events[0].authorized_by).replace("policy:", "");
    const [policy = ""] = version.split("@");
    const under = await facts("ledger", "policy", version, "--prove");
    expect(idsOf(under)).toEqual([deniedId, eventId]);
    expect(under.proof).toMatchObject({ verified: true, events: 2, records: 5, witnessed: false });
    const page = await facts("ledger", "policy", policy, "--limit", "1");
    const next = await facts("ledger", "policy", policy, "--limit", "1", "--cursor", page.next_cursor);
    expect(idsOf(next)).toEqual([eventId]);
    const back = await facts("ledger", "policy", policy, "--limit", "1", "--cursor", next.previous_cursor);
    expect(idsOf(back)).toEqual(idsOf(page));
    expect(idsOf(await facts("ledger", "query", "--actor", "boss", "--kind", "action"))).toEqual([]);
    expect(idsOf(await facts("ledger", "query", "--subtree", "boss", "--decision", "deny"))).toContain(
      deniedId,
    );
    expect((await warden("ledger", "job", "nothing", "--prove")).stdout).toContain("nothing to prove");
    const { stdout } = await warden("ledger", "query", "--actor", "worker", "--kind", "action", "--prove");
    expect(stdout).toMatch(
      /Proof: verified here\. 5 records of 2 events are among the \d+ of ledger\.acme\.test/,
    );
  });

  test("shows and proves one event in the form that other verifiers read", async () => {
    expect((await facts("ledger", "show", eventId)).records).toHaveLength(3);
    const { proofs, verified } = await facts("ledger", "prove", eventId, "--out", join(home, "proof"));
    expect(verified).toBe(true);
    expect(proofs[0].proof).toMatch(/^c2sp\.org\/tlog-proof@v1\nindex \d+\n[\s\S]*\n\nledger\.acme\.test\n/);
    expect(readdirSync(join(home, "proof"))).toHaveLength(6);
  });

  test("is exported once into a directory, verifies offline, and does not after one flipped bit", async () => {
    const out = join(home, "export");
    const { vkey, size } = await facts("ledger", "export", out);
    expect((await warden("ledger", "export", out)).exitCode).toBe(2);
    const report = await facts("ledger", "verify", out, "--vkey", vkey);
    expect(report).toMatchObject({ verified: true, witnessed: false, key_given: true, size, findings: [] });
    expect((await warden("ledger", "verify", out)).stdout).toContain("The log's key is the export's own");
    const kept = join(home, "kept-bundle.json");
    writeFileSync(kept, readFileSync(join(out, "bundle.json")));
    expect(await facts("ledger", "verify", out, "--vkey", vkey, "--bundle", kept)).toMatchObject({
      verified: true,
      bundle_given: true,
    });
    writeFileSync(kept, '{"keys":[]}');
    expect((await warden("ledger", "verify", out, "--bundle", kept)).exitCode).toBe(1);
    const [bundle = ""] = readdirSync(join(out, "tile", "entries"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    const bytes = readFileSync(bundle);
    bytes[500] = (bytes[500] ?? 0) ^ 1;
    writeFileSync(bundle, bytes);
    const { exitCode, stdout } = await warden("ledger", "verify", out);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("does NOT verify");
  });

  test("of the running server verifies, and continues a checkpoint that was kept", async () => {
    const kept = join(home, "export", "checkpoint");
    expect(await facts("ledger", "verify", "--older-checkpoint", kept)).toMatchObject({ verified: true });
  });
});

describe("policy and doctor", () => {
  test("explain says which link does not cover an action, and its class", async () => {
    const denied = await facts("policy", "explain", "--agent", "worker", "--action", "read:files");
    expect(denied).toMatchObject({ allow: false, class: "C", reasons: ["scope_not_covered"] });
    expect(denied.links).toMatchObject([
      { name: "boss", covers: true },
      { name: "worker", covers: false },
    ]);
    expect(await facts("policy", "explain", "--agent", "worker", "--action", "write:reports")).toMatchObject({
      allow: true,
      class: "B",
    });
  });

  test("doctor finds nothing wrong, and then finds a key that others may read", async () => {
    expect(await facts("doctor")).toMatchObject({ healthy: true });
    const key = join(home, "config", "owners", "alice.pem");
    chmodSync(key, 0o604);
    const { exitCode, stdout } = await warden("doctor");
    chmodSync(key, 0o600);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/BAD {2}owner key alice: .*604/);
  });

  test("doctor looks at listeners, the mark outside, key files and settings, and names each that is wrong", async () => {
    const states = async (...args: readonly string[]) => {
      const { checks } = JSON.parse((await warden("doctor", "--json", ...args)).stdout);
      return Object.fromEntries(checks.map(({ name, state }: Record<string, string>) => [name, state]));
    };
    const sound = await states();
    for (const name of [
      "main listener",
      "stop listener",
      "high-water mark",
      "key files",
      "exposure",
      "version",
    ])
      expect([name, sound[name]]).toEqual([name, "good"]);
    const settings = join(home, "doctor.json");
    const secret = join(home, "sink-secret");
    writeFileSync(secret, "x", { mode: 0o644 });
    const sink = { kind: "webhook", name: "siem", url: "https://siem.test/", secretFile: secret };
    writeFileSync(settings, JSON.stringify({ sinks: [sink], allowExternal: true }));
    const found = await states("--config", settings);
    expect([found["sinks.0.secretFile"], found.exposure]).toEqual(["bad", "bad"]);
    const tls = { certFile: join(home, "console.pem"), keyFile: secret };
    writeFileSync(settings, JSON.stringify({ console: { host: "0.0.0.0", tls }, allowExternal: true }));
    expect((await states("--config", settings)).exposure).toBe("good");
    writeFileSync(settings, JSON.stringify({ host: "0.0.0.0" }));
    expect((await states("--config", settings)).settings).toBe("bad");
  });

  test("doctor finds a ledger's database and object store that nobody answers at", async () => {
    const settings = join(home, "doctor-ledger.json");
    const postgres = { host: "127.0.0.1", port: 1, database: "warden", user: "warden" };
    const objects = { endpoint: "http://127.0.0.1:1", region: "r", bucket: "acme" };
    writeFileSync(settings, JSON.stringify({ ledger: { storage: "postgres", postgres, objects } }));
    const { exitCode, stdout } = await warden("doctor", "--config", settings);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/BAD {2}ledger database: .*ECONNREFUSED/);
    expect(stdout).toMatch(/BAD {2}object store: .*ECONNREFUSED/);
  });
});

describe("warden ca", () => {
  test("shows the keys, rotates by force, and takes the old one back", async () => {
    const before = await facts("ca", "status");
    expect(before.keys.map(({ kind, state }: Record<string, string>) => `${kind} ${state}`).sort()).toEqual([
      "intermediate active",
      "jwt active",
      "root active",
    ]);
    const [old] = before.keys.filter(({ kind }: Record<string, string>) => kind === "intermediate");
    const forced = await warden("ca", "rotate", "--force", "--reason", "drill");
    expect(forced.stdout).toContain("Agents renew now");
    expect(forced.stdout).toContain("tainted");
    await Promise.all([orchestrator.renew(), worker.renew()]);
    const revoked = await facts("ca", "revoke", old.id.slice(0, 10), "--reason", "drill");
    expect(revoked.keys.find(({ id }: Record<string, string>) => id === old.id).state).toBe("revoked");
    await worker.act("write:reports", "file://reports/q4", null, async () => undefined);
  });

  test("says what is in the way: a key in use, an unknown key, a key that was not published yet", async () => {
    const { keys } = await facts("ca", "status");
    const [jwt] = keys.filter(({ kind }: Record<string, string>) => kind === "jwt");
    const inUse = await warden("ca", "revoke", jwt.id);
    expect([inUse.exitCode, inUse.stderr]).toEqual([1, expect.stringContaining("authority_in_use")]);
    expect((await warden("ca", "taint", "nothing")).stderr).toContain("no key begins with nothing");
    const early = await warden("ca", "rotate", "--kind", "jwt");
    expect(early.stderr).toContain("authority_not_published");
    const [prepared] = (await facts("ca", "status")).keys.filter(
      ({ state }: Record<string, string>) => state === "prepared",
    );
    expect((await warden("ca", "retire", prepared.id)).exitCode).toBe(0);
  });
});

describe("the third question", () => {
  test("narrowing takes a right away and nothing else", async () => {
    const wide = await orchestrator.spawn({ name: "wide", scope: ["read:files"] });
    const answer = await facts("agent", "narrow", "wide", "--scope", "read:files:public/**");
    expect(answer.narrowed).toMatchObject([{ scope: ["read:files:public/**"] }]);
    expect((await warden("agent", "narrow", "wide", "--scope", "delete:files")).exitCode).toBe(1);
    await wide.close();
  });

  test("stop ends the agent, by its owner over HTTPS, and leaves the others alone", async () => {
    const stopped = await facts("stop", "worker", "--reason", "test", "--as", "alice");
    expect(stopped).toMatchObject({
      target: { kind: "agent", id: worker.agentId },
      instances: 1,
      expired: 0,
    });
    expect(stopped.answered_at_ms).toBeGreaterThanOrEqual(stopped.called_at_ms);
    await expect(
      worker.act("write:reports", "file://reports/q4", null, async () => undefined),
    ).rejects.toThrow();
    await orchestrator.act("write:reports", "file://reports/q5", null, async () => undefined);
    expect((await facts("agent", "show", "worker")).status).toBe("revoked");
    expect(await facts("who", stopped.event_id)).toMatchObject({ kind: "revoke", outcome: "success" });
  });

  test("stop ends an owner with all of its agents by the owner's id, and says how long it took", async () => {
    const { owner_id: id } = await facts("owner", "create", "mallory");
    const stopped = await facts("stop", String(id), "--reason", "test");
    expect(stopped).toMatchObject({ name: "owner", target: { kind: "owner", id }, instances: 0 });
    expect(stopped.answered_at_ms).toBeGreaterThanOrEqual(stopped.called_at_ms);
  });

  test("revoke by id says what it is when the id is unknown", async () => {
    const { exitCode, stderr } = await warden("revoke", "agt_01M80FGQWSA1AK5G58G8MV1CGP");
    expect(exitCode).toBe(1);
    expect(
      stderr
        .split("\n")
        .slice(0, 3)
        .every((line) => line !== ""),
    ).toBe(true);
  });
});
