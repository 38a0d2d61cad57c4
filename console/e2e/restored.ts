/** The server comes back by a restore, and two admins of before agree that it was wanted. */
import assert from "node:assert/strict";
import { restoreLiveServer } from "../../test/support/restored-server.ts";
import { inspect } from "./browser.ts";
import { press, write } from "./keyboard.ts";
import { go, heading, step } from "./step.ts";
import type { World } from "./world.ts";

/** Whoever acts and answers there ends first: leases of before would be asked of a server that is away. */
async function restore({ live, agent, child, service }: World): Promise<void> {
  const isHeld = await restoreLiveServer(live, async () => {
    for (const one of [child, agent, service]) await one.close();
  });
  assert.equal(isHeld, true);
}

/** The last of all: nothing of before goes on. */
export const RESTORED = [
  step(
    "a restored server says so on every screen, and works when two admins of before have agreed",
    async ({ world, browser, pictures }) => {
      const { page, other } = browser;
      await restore(world);
      for (const one of [page, other]) {
        await one.goto(world.origin);
        // Sessions of before are over.
        await press(one.getByRole("button", { name: "Use a passkey" }));
        await heading(one, "Now").waitFor();
      }
      const held = page.locator("[data-held]");
      await held.waitFor();
      await go(page, "Settings");
      await held.waitFor();
      await inspect(page, "held", pictures);
      await press(page.getByRole("button", { name: "It was wanted: let the server work" }));
      await write(held.getByLabel(/^Why/), "the disk was lost");
      await press(held.getByRole("button", { name: "Ask a second admin" }));
      await held.locator('[data-awaited="pending"]').waitFor();
      await go(other, "Confirmations");
      await press(other.getByRole("button", { name: "Look again" }));
      await press(other.getByRole("row").filter({ hasText: "the disk was lost" }).getByRole("link").first());
      await press(other.getByRole("button", { name: "Confirm with your passkey" }));
      await other.getByText("Whoever asked does it now").waitFor();
      await press(held.getByRole("button", { name: "Do it now" }));
      await held.waitFor({ state: "detached" });
    },
  ),
] as const;
