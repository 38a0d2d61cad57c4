/** K12: one admin with the host's means restores, and has nobody to agree. */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createOwner, type TestOwner } from "../../test/support/actors.ts";
import { jsonOf, sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import {
  askConfirmation,
  CONSOLE,
  confirm,
  confirmed,
  createPerson,
  originOf,
  refresh,
  type TestPerson,
} from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { backUp, mustRun, openVault } from "../support/backups.ts";
import { signTicket } from "../support/documents.ts";
import { expectCode, posting, sendAs } from "../support/people-cast.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const ALONE = [403, "confirmation_required"] as const;
const HELD = [503, "restore_held"] as const;
const REFUSED = [403, "second_admin_required"] as const;

/** Its passkey does not count, since the console comes back on another port. */
const admit = ({ server }: World, link: object) => createPerson(server, link, { isCounting: false });

function again({ server }: World, { authenticator, ...person }: TestPerson): Promise<TestPerson> {
  const moved = authenticator.behaving({ origin: originOf(server), isCounting: false });
  return refresh(server, { ...person, authenticator: moved });
}

async function agree({ server }: World, asker: TestPerson, other: TestPerson) {
  const { restore } = jsonOf(await sendAdmin(server.adminSocket, { target: "/v1/restore" }));
  const request = posting("/v1/restore/release", { restore: Object(restore).id });
  const id = await askConfirmation(server, asker, request);
  const answer = await confirm(server, other, id);
  return answer.status === 200 ? confirmed(server, asker, request, id) : answer;
}

const enrol = (world: World, owner: TestOwner) =>
  enrolWith(world, signTicket(owner, { name: world.name("late") }), { signer: createTestSigner() });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K12",
  title:
    "is one admin with the host and the backup's key, who puts an old state back: alone, with a second person it lets in, by the socket",
  expected:
    "the restored server issues and allows nothing until two admins of before have agreed; the ledger says who restored",
  weakening: "restores-wait-for-nobody",
  world: { configure: () => CONSOLE },
  mayChange: ["agents", "epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    admin: await admit(world, {}),
    second: await admit(world, { roles: ["admin"] }),
    owner: await createOwner(world.server, "alice"),
    vault: openVault(world),
  }),
  control: async (world, { owner }) => {
    expectSame((await enrol(world, owner)).status, 200, "an agent before the restore");
  },
  attack: async (world, { admin, second, owner, vault }) => {
    const { dataDir } = world.home;
    const backup = await backUp(world, vault);
    await world.child.stop();
    const elsewhere = join(vault.directory, "ledger");
    cpSync(join(dataDir, "ledger"), elsewhere, { recursive: true });
    rmSync(dataDir, { recursive: true });
    const given = ["--key", vault.privateKey, "--ledger", elsewhere, "--accept-older-rules"];
    await mustRun(world, "restore", ...given, backup);
    await world.start();
    const alone = await again(world, admin);
    expectCode(await enrol(world, owner), HELD, "an agent after the restore");
    const token = await sendAdmin(world.server.adminSocket, posting("/v1/join-tokens", { name: "x" }));
    expectCode(token, HELD, "the operator of the host");
    const { restore } = jsonOf(await sendAdmin(world.server.adminSocket, { target: "/v1/restore" }));
    const request = posting("/v1/restore/release", { restore: Object(restore).id });
    expectCode(await sendAs(world, alone, request), ALONE, "one admin alone");
    const made = await admit(world, { roles: ["admin"] });
    expectCode(await agree(world, alone, alone), REFUSED, "its own second");
    expectCode(await agree(world, alone, made), REFUSED, "a second person whom it let in");
    expectCode(await enrol(world, owner), HELD, "an agent after all that");
    expectSame((await agree(world, alone, await again(world, second))).status, 200, "two admins of before");
    expectSame((await enrol(world, owner)).status, 200, "an agent after they agreed");
  },
  evidence: async (ledger, { admin }) => {
    await ledger.expect({ kind: "refuse", reason: "restore_held" }, { atLeast: 3 });
    await ledger.expect({ kind: "refuse", reason: "second_admin_required" }, { atLeast: 2 });
    const [told] = await ledger.expect({ kind: "admin", principal: "operator" }, { atLeast: 1 });
    const [agreed] = await ledger.expect({ kind: "admin", principal: `person:${admin.personId}` }, 1);
    expectSame(
      [told, agreed].map((event) => event?.resource?.startsWith("restore:rst_")),
      [true, true],
      "the restore and its release",
    );
  },
});
