/** F1: the upstream's key, asked for by every route. */
import { readFileSync } from "node:fs";
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect } from "../scenario.ts";
import { textsIn } from "../support/backups.ts";
import { expectKeyInUse, expectNoKey, openBrokered, WITH_GATEWAY } from "../support/brokered.ts";
import { call } from "../support/client.ts";
import { readAsOperator } from "../support/operator.ts";
import type { World } from "../support/world.ts";

/** Every target that reads, with the secret's name wherever a name may stand. */
async function readTargets(world: World, name: string): Promise<readonly string[]> {
  const { text } = await sendAdmin(world.server.adminSocket, { target: "/v1/openapi.json" });
  const { paths }: { readonly paths: Readonly<Record<string, object>> } = JSON.parse(text);
  const named = Object.entries(paths)
    .filter(([, methods]) => "get" in methods)
    .map(([path]) => path.replaceAll(/\{[^}]*\}/g, name).replace("*", "000"));
  const guessed = ["value", "versions", "versions/1", "plaintext", "export"].map(
    (rest) => `/v1/secrets/${name}/${rest}`,
  );
  return [...named, `/v1/secrets/${name}`, ...guessed];
}

function textsOf({ home }: World): readonly string[] {
  return [home.dataDir, home.configDir].flatMap(textsIn);
}

/** What the system shows of the server's process to its own account. */
function readProcess(pid: number | undefined): string {
  if (process.platform !== "linux") return "";
  return ["environ", "cmdline", "maps"]
    .map((file) => readFileSync(`/proc/${pid}/${file}`, "latin1"))
    .join("\n");
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F1",
  title: "asks by every route for the upstream's key: agent, operator, files, process, what the server wrote",
  expected: "the key never appears: the broker has no read-back",
  weakening: "secret-kept-beside-its-settings",
  world: WITH_GATEWAY,
  prepare: (world) => openBrokered(world),
  control: (_world, scene) => expectKeyInUse(scene),
  attack: async (world, { name, agent }) => {
    const targets = await readTargets(world, name);
    expect(targets.length > 25, "there are routes to ask");
    for (const target of targets) {
      expectNoKey(
        (await sendAdmin(world.server.adminSocket, { target })).text,
        `an operator's GET ${target}`,
      );
      expectNoKey(
        (await call(world.server.url, { target }, { tls: agent.tls })).text,
        `an agent's GET ${target}`,
      );
    }
    const { events } = JSON.parse(
      await readAsOperator(world.server.adminSocket, "/v1/events?limit=500").then(JSON.stringify),
    );
    for (const { event_id: id } of events) {
      expectNoKey(
        JSON.stringify(await readAsOperator(world.server.adminSocket, `/v1/events/${id}`)),
        "an event",
      );
    }
    for (const args of [
      ["list", "--json"],
      ["show", name],
    ]) {
      expectNoKey((await world.warden("secret", ...args)).output, `warden secret ${args.join(" ")}`);
    }
    for (const text of textsOf(world)) expectNoKey(text, "a file of the server");
    expectNoKey(readProcess(world.child.pid), "/proc");
    expectNoKey(world.outputs().join("\n"), "what the server wrote");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "secret" }, 0);
    await ledger.expect({ kind: "refuse" }, 0);
  },
});
