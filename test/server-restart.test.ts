/** What a server keeps over restarts, crashes and restored backups, and when it refuses to start. */
import { type ChildProcess, spawn as spawnProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROUTES } from "../server/http/routes.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  ownerRequest,
  parseAnswer,
  parseDecision,
  serverIdOf,
  signedRequest,
  visitIntent,
} from "./support/actors.ts";
import { expectRejection } from "./support/expect-code.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import {
  createHome,
  startTestServer,
  type TestHome,
  type TestServer,
  TRUST_DOMAIN,
} from "./support/server.ts";

const MAIN = fileURLToPath(new URL("../server/main.ts", import.meta.url));

let home: TestHome;
let server: TestServer;
let running: TestServer | undefined;
let child: ChildProcess | undefined;

beforeEach(async () => {
  home = createHome();
  server = await start();
});
afterEach(async () => {
  await running?.close();
  child?.kill("SIGKILL");
  child = undefined;
  home.remove();
});

async function start(): Promise<TestServer> {
  running = await startTestServer({}, home);
  return running;
}

async function stop(): Promise<void> {
  await running?.close();
  running = undefined;
}

/** As after a crash, which leaves no seal on the state: what the other checks find by themselves. */
function forgetSeal(): void {
  rmSync(join(home.configDir, "acme.test.state-seal"));
}

async function stopInstance(instanceId: string): Promise<void> {
  const body = JSON.stringify({ target: { kind: "instance", id: instanceId } });
  parseAnswer(
    revocationAnswer,
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body }),
  );
}

describe("an owner's request", () => {
  it("does not count again after a restart, also when it was signed by a clock that runs ahead", async () => {
    const owner = await createOwner(server);
    const aud = await serverIdOf(server);
    const now = Math.floor(Date.now() / 1000);
    const ahead = { iat: now + 25, exp: now + 60 };
    const request = ownerRequest(owner, { target: "/v1/events", aud, payload: ahead });
    expect((await send(server.url, request)).status).toBe(200);
    expect((await send(server.url, request)).status).toBe(401);
    await stop();
    server = await start();
    expect((await send(server.url, request)).status).toBe(401);
    const later = { iat: now + 26, exp: now + 60 };
    const fresh = { target: "/v1/events", aud: await serverIdOf(server), payload: later };
    expect((await send(server.url, ownerRequest(owner, fresh))).status).toBe(200);
  });
});

describe("a restart", () => {
  it("keeps identities and revocations, and the server's own id", async () => {
    const owner = await createOwner(server);
    const alive = await enrolAgent(server, owner, { name: "alive" });
    const dead = await enrolAgent(server, owner, { name: "dead" });
    const verifier = await enrolVerifier(server);
    await stopInstance(dead.answer.instance_id);
    const serverId = await serverIdOf(server);
    await stop();
    server = await start();
    expect(await serverIdOf(server)).toBe(serverId);
    const ask = (agent: typeof alive) =>
      askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    expect(parseDecision(await ask(alive)).allow).toBe(true);
    await expectRefused(server, () => ask(dead), "identity_revoked");
    const status = parseAnswer(statusAnswer, await sendAdmin(server.adminSocket, { target: "/v1/status" }));
    expect(status).toMatchObject({ epoch: 1, agents: 2, live_instances: 2 });
  });

  it("does not let an intent act again", async () => {
    const agent = await enrolAgent(server, await createOwner(server));
    const verifier = await enrolVerifier(server);
    const intent = visitIntent(agent, verifier);
    const ask = () => askDecision(server, { caller: verifier, agent, intent });
    expect(parseDecision(await ask()).allow).toBe(true);
    const request = signedRequest(agent, {
      method: "POST",
      target: "/v1/jwt-svids",
      body: JSON.stringify({ audience: "https://api.test" }),
      action: "issue:jwt-svid",
      aud: await serverIdOf(server),
    });
    expect((await send(server.url, request, agent.tls)).status).toBe(200);
    await stop();
    server = await start();
    await expectRefused(server, ask, "intent_replayed");
    await expectRefused(server, () => send(server.url, request, agent.tls), "intent_replayed");
  });

  it("does not happen while another server has the data directory", async () => {
    await expectRejection(startTestServer({}, home), "data_locked");
    expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
  });
});

describe("a start is refused", () => {
  it("on an older copy of the state beside the present ledger (J6)", async () => {
    const agent = await enrolAgent(server, await createOwner(server));
    await stop();
    cpSync(join(home.dataDir, "state.db"), join(home.dataDir, "..", "old.db"));
    server = await start();
    await stopInstance(agent.answer.instance_id);
    await stop();
    for (const name of ["state.db-wal", "state.db-shm"]) rmSync(join(home.dataDir, name), { force: true });
    cpSync(join(home.dataDir, "..", "old.db"), join(home.dataDir, "state.db"));
    await expectRejection(startTestServer({}, home), "state_changed");
    forgetSeal();
    await expectRejection(startTestServer({}, home), "data_rolled_back");
  });

  it("on an older copy of the state in which a used ticket would be fresh again", async () => {
    const owner = await createOwner(server);
    await stop();
    // A graceful end leaves one file, so that this is how a person makes a copy.
    expect(readdirSync(home.dataDir)).not.toContain("state.db-wal");
    cpSync(join(home.dataDir, "state.db"), join(home.dataDir, "..", "old.db"));
    server = await start();
    await enrolAgent(server, owner);
    await stop();
    cpSync(join(home.dataDir, "..", "old.db"), join(home.dataDir, "state.db"));
    forgetSeal();
    await expectRejection(startTestServer({}, home), "data_rolled_back");
  });

  it("with one bit of the state flipped while no server ran, until the bit is put right", async () => {
    await enrolAgent(server, await createOwner(server));
    await stop();
    const file = join(home.dataDir, "state.db");
    const sound = readFileSync(file);
    for (let flip = 0; flip < 8; flip += 1) {
      const bent = Buffer.from(sound);
      const at = Math.floor(Math.random() * bent.length);
      bent[at] = (bent[at] ?? 0) ^ (1 << flip);
      writeFileSync(file, bent);
      await expectRejection(startTestServer({}, home), "state_changed");
    }
    writeFileSync(file, sound);
    server = await start();
  });

  it("on an older copy of the whole data directory", async () => {
    await createOwner(server, "alice");
    await stop();
    cpSync(home.dataDir, join(home.dataDir, "..", "backup"), { recursive: true });
    server = await start();
    await createOwner(server, "bob");
    await stop();
    rmSync(home.dataDir, { recursive: true });
    cpSync(join(home.dataDir, "..", "backup"), home.dataDir, { recursive: true });
    chmodSync(home.dataDir, 0o700);
    await expectRejection(startTestServer({}, home), "data_rolled_back");
  });

  it("with a data directory that others can read, or with another unseal key", async () => {
    await stop();
    chmodSync(home.dataDir, 0o755);
    await expectRejection(startTestServer({}, home), "file_mode_too_open");
    chmodSync(home.dataDir, 0o700);
    rmSync(join(home.configDir, `${TRUST_DOMAIN}.unseal`));
    await expectRejection(startTestServer({}, home), "seal_broken");
  });

  it("without its keys, instead of making new ones over old state", async () => {
    await stop();
    rmSync(join(home.dataDir, "keys"), { recursive: true });
    await expectRejection(startTestServer({}, home), "config_invalid");
  });

  it("beyond loopback, unless that was said in so many words", async () => {
    await expectRejection(
      Promise.resolve().then(() => startTestServer({ host: "0.0.0.0" }, createHome())),
      "bind_refused",
    );
  });

  it("and leaves nothing locked behind", async () => {
    await stop();
    await expectRejection(startTestServer({ policyDir: "/nonexistent" }, home), "policy_unavailable");
    server = await start();
    expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
  });
});

describe("a log that has failed", () => {
  it("stops everything but stopping, and says that the stop will be recorded late", async () => {
    const agent = await enrolAgent(server, await createOwner(server));
    const verifier = await enrolVerifier(server);
    const moved = join(home.dataDir, "..", "away");
    cpSync(join(home.dataDir, "ledger"), moved, { recursive: true });
    rmSync(join(home.dataDir, "ledger"), { recursive: true });
    await sendAdmin(server.adminSocket, { target: "/v1/status" });
    await server.failed;
    const ask = () => askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    const decision = await ask();
    expect([decision.status, codeOf(decision)]).toEqual([503, "ledger_unavailable"]);
    const owner = await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/owners",
      body: JSON.stringify({ name: "late", spki: "AA" }),
    });
    expect(owner.status).toBe(503);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    expect(parseAnswer(revocationAnswer, answer)).toMatchObject({ epoch: 1, instances: 1, recorded: false });
    const freeze = (what: object | null) =>
      sendAdmin(server.adminSocket, {
        method: "POST",
        target: "/v1/policy/freeze",
        body: JSON.stringify({ freeze: what }),
      });
    expect((await freeze({ reason: "the log is gone", until: null })).status).toBe(200);
    const thaw = await freeze(null);
    expect([thaw.status, codeOf(thaw)]).toEqual([503, "ledger_unavailable"]);
    await server.close().catch(() => undefined);
    running = undefined;

    // The disk is back, as it was: what was stopped stays stopped, and is recorded now.
    rmSync(join(home.dataDir, "ledger"), { recursive: true, force: true });
    cpSync(moved, join(home.dataDir, "ledger"), { recursive: true });
    server = await start();
    expect(
      (await eventsOf(server, "revoke")).map(({ reasons, outcome }) => ({ reasons, outcome })),
    ).toHaveLength(1);
    const frozen = await sendAdmin(server.adminSocket, { target: "/v1/policy/freeze" });
    expect(jsonOf(frozen)).toMatchObject({ freeze: { reason: "the log is gone" } });
    expect(await eventsOf(server, "policy")).toHaveLength(1);
    await expectRefused(server, ask, "identity_revoked");
  });
});

describe("the process", () => {
  async function startProcess(): Promise<{ readonly url: string; readonly admin: string }> {
    child = spawnProcess(process.execPath, [MAIN], {
      env: {
        TRUSTWARDEN_DATA_DIR: home.dataDir,
        TRUSTWARDEN_CONFIG_DIR: home.configDir,
        TRUSTWARDEN_TRUST_DOMAIN: TRUST_DOMAIN,
        TRUSTWARDEN_PORT: "0",
        TRUSTWARDEN_STOP_PORT: "0",
        TRUSTWARDEN_LOG_LEVEL: "info",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stderr?.resume();
    if (child.stdout === null) throw new Error("standard output is a pipe");
    const [line]: unknown[] = await once(createInterface(child.stdout), "line");
    const ready = parseJsonObject(String(line));
    const told = ["admin_socket", "console_url", "envoy_port", "gateway_url", "ready", "stop_url", "url"];
    expect(Object.keys(ready).sort()).toEqual(told);
    return { url: String(ready.url), admin: String(ready.admin_socket) };
  }

  it("says when it is ready, and ends cleanly on SIGTERM", async () => {
    await stop();
    const { url } = await startProcess();
    expect((await send(url, { target: "/healthz" })).status).toBe(200);
    child?.kill("SIGTERM");
    if (child !== undefined) expect(await once(child, "exit")).toEqual([0, null]);
    server = await start();
  });

  it("killed at any moment starts again with everything that it had acknowledged (J7)", async () => {
    await stop();
    let acknowledged = 0;
    for (let round = 0; round < 3; round += 1) {
      const { admin } = await startProcess();
      const load = Array.from({ length: 40 }, (_, index) =>
        sendAdmin(admin, {
          method: "POST",
          target: "/v1/verifier-tickets",
          body: JSON.stringify({ name: `v${round}-${index}`, ttl_seconds: 60 }),
        }).then(
          ({ status }) => {
            if (status === 200) acknowledged += 1;
            if (index === 15) child?.kill("SIGKILL");
          },
          () => undefined,
        ),
      );
      await Promise.all(load);
      if (child !== undefined && child.exitCode === null && child.signalCode === null)
        await once(child, "exit");
    }
    expect(acknowledged).toBeGreaterThan(0);
    server = await start();
    const tickets = await eventsOf(server, "ticket");
    expect(tickets.length).toBeGreaterThanOrEqual(acknowledged);
    // What the crash left in the outbox was recorded once, not again.
    expect(tickets.every(({ indexes }) => indexes.length === 1)).toBe(true);
  });

  it("writes nothing that callers send into its log or its data (D16)", async () => {
    await stop();
    const { url, admin } = await startProcess();
    const log: string[] = [];
    child?.stderr?.on("data", (chunk) => log.push(String(chunk)));
    const canary = `canary-${randomUUID()}`;
    const headers = {
      authorization: `Bearer ${canary}`,
      "trustwarden-intent": canary,
      "trustwarden-owner": canary,
    };
    const bodies = [canary, JSON.stringify({ enrolment: canary, possession: canary, spki: canary }), "{}"];
    for (const { method, path } of ROUTES) {
      for (const body of method === "POST" ? bodies : [undefined]) {
        const target = `${path.replace("*", "000").replaceAll(":", "")}?secret=${canary}`;
        const request = { method, target, headers, ...(body === undefined ? {} : { body }) };
        await send(url, request);
        await sendAdmin(admin, request);
      }
    }
    child?.kill("SIGTERM");
    if (child !== undefined) await once(child, "exit");
    expect(log.join("").split("\n").length).toBeGreaterThan(ROUTES.length);
    expect(log.join("")).not.toContain(canary);
    const files = readdirSync(home.dataDir, { recursive: true, withFileTypes: true }).filter((file) =>
      file.isFile(),
    );
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) {
      expect([file.name, readFileSync(join(file.parentPath, file.name)).includes(canary)]).toEqual([
        file.name,
        false,
      ]);
    }
  });
});
