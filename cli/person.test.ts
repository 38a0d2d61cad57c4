/** `warden person`: the first admin is invited by the terminal of `warden up`'s host, and nobody twice. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOwner, enrolAgent } from "../test/support/actors.ts";
import { SoftwareAuthenticator } from "../test/support/authenticator.ts";
import { CONSOLE, createPerson, originOf, sendConsole, useLink } from "../test/support/people.ts";
import { startTestServer, type TestServer } from "../test/support/server.ts";
import { createHome, runWarden } from "./testing.ts";

const home = createHome();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(CONSOLE);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

const warden = (...args: readonly string[]) =>
  runWarden(home, [...args, "--data", server.home.dataDir, "--config-dir", server.home.configDir]);

describe("warden organization", () => {
  test("makes, names, fills, shows and ends one", async () => {
    const { personId } = await createPerson(server, { roles: ["auditor"] });
    const made = JSON.parse((await warden("organization", "create", "payments", "--json")).stdout);
    const id = String(made.organization_id);
    expect((await warden("organization", "create", "payments")).stderr).toContain("organization_exists");
    expect((await warden("organization", "rename", id, "billing")).stdout).toContain("billing");
    expect((await warden("organization", "add", id, personId, "admin")).stdout).toContain("1 member");
    expect((await warden("organization", "show", id)).stdout).toContain(`${personId}  admin`);
    expect((await warden("organization", "list")).stdout).toContain(`${id}  billing  1 member`);
    expect((await warden("organization", "remove", id, personId)).stdout).toContain("0 members");
    expect((await warden("organization", "end", id)).stdout).toContain("ended");
    expect((await warden("organization", "show", id)).exitCode).toBe(1);
  });
});

describe("warden person link", () => {
  test("makes the first admin without a role, and then only whom it names", async () => {
    const first = await warden("person", "link", "--json");
    expect([first.exitCode, JSON.parse(first.stdout)]).toMatchObject([
      0,
      { kind: "first", roles: ["owner", "admin"] },
    ]);
    const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
    const { link } = JSON.parse(first.stdout);
    expect((await useLink(server, { link, authenticator })).status).toBe(200);
    expect((await warden("person", "link")).exitCode).toBe(1);
    const invited = await warden("person", "link", "--role", "auditor");
    const [path = ""] = /\/\S+(?=#)/.exec(invited.stdout) ?? [];
    expect(path).toBe("/app/welcome");
    expect((await sendConsole(server, { target: path })).status).toBe(200);
  });

  test("is for people who are listed, changed and ended by the operator", async () => {
    const { personId } = await createPerson(server, { roles: ["operator"] });
    expect((await warden("person", "list")).stdout).toContain(`${personId}  operator  Ada`);
    expect((await warden("person", "roles", personId, "auditor")).stdout).toContain(`${personId}  auditor`);
    expect((await warden("person", "end", personId)).stdout).toContain(`${personId}  ended`);
    expect((await warden("person", "end", personId)).exitCode).toBe(1);
  });

  test("ends an owner with its agents where that is asked", async () => {
    const owner = await createOwner(server, "leaving");
    await enrolAgent(server, owner);
    const { personId } = await createPerson(server, { roles: ["owner"], owner: owner.ownerId });
    const kept = await warden("person", "end", personId);
    expect([kept.exitCode, kept.stderr]).toEqual([1, expect.stringContaining("owner_in_use")]);
    expect((await warden("person", "end", personId, "--suspend")).stdout).toContain(`${personId}  ended`);
  });

  test("voids the link before it that would make the same", async () => {
    const another = await startTestServer(CONSOLE);
    try {
      const made = async () => {
        const { dataDir, configDir } = another.home;
        const args = ["person", "link", "--json", "--data", dataDir, "--config-dir", configDir];
        return String(JSON.parse((await runWarden(home, args)).stdout).link);
      };
      const [before, after] = [await made(), await made()];
      const authenticator = () => new SoftwareAuthenticator({ origin: originOf(another) });
      expect((await useLink(another, { link: before, authenticator: authenticator() })).status).toBe(401);
      expect((await useLink(another, { link: after, authenticator: authenticator() })).status).toBe(200);
    } finally {
      await another.close();
      another.home.remove();
    }
  });
});
