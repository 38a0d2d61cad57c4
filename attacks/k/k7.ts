/** K7: an invitation that was edited on its way. What it gives is not in it. */
import { SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import { createLink, originOf, useLink } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { admitAdmins, expectCode, WITH_CONSOLE } from "../support/people-cast.ts";
import type { World } from "../support/world.ts";

const come = ({ server }: World, link: string, more: object = {}) => {
  const authenticator = new SoftwareAuthenticator({ origin: originOf(server) });
  return useLink(server, { link, authenticator, ...more });
};

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K7",
  title: "edits an invitation, asks more of it than it gives, and uses it twice",
  expected: "an edited one is an unknown one, a role cannot be asked for, and the second use is refused",
  weakening: "links-of-anybody",
  world: WITH_CONSOLE,
  prepare: async (world) => {
    await admitAdmins(world);
    return { link: await createLink(world.server, { roles: ["auditor"] }), used: "" };
  },
  control: async (world, scene) => {
    scene.used = await createLink(world.server, { roles: ["auditor"] });
    expectSame((await come(world, scene.used)).status, 200, "an invitation as it was made");
  },
  attack: async (world, { link, used }) => {
    const edited = (link.startsWith("A") ? "B" : "A") + link.slice(1);
    expectCode(await come(world, edited), [401, "principal_refused"], "an edited invitation");
    expectCode(await come(world, used), [401, "principal_refused"], "a used invitation");
    const more = await come(world, link, { roles: ["admin"] });
    expectCode(more, [400, "request_malformed"], "a role that is asked for");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "link_invalid", principal: "unauthenticated" }, 2);
    await ledger.expect({ kind: "person" }, 0);
  },
});
