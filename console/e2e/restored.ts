/** The server comes back by a restore, and two admins of before agree that it was wanted. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { createBackup } from "@trustwarden/server/backup/create-backup.ts";
import { restoreBackup } from "@trustwarden/server/backup/restore-backup.ts";
import { parseConfig } from "@trustwarden/server/config.ts";
import { inspect } from "./browser.ts";
import { go, heading, step } from "./step.ts";
import type { World } from "./world.ts";

/** Backs it up, and puts that back in the place of what was there. */
async function restore({ live, agent, child, service }: World): Promise<void> {
  const directory = dirname(live.dataDir);
  const configOf = (dataDir: string) =>
    parseConfig({ dataDir, configDir: join(directory, "config"), trustDomain: "acme.test" });
  const file = join(directory, "backup.tw");
  const common = {
    file,
    random: (length: number) => new Uint8Array(randomBytes(length)),
    nowMs: () => Date.now(),
    onProgress: () => undefined,
  };
  await createBackup({ ...common, config: configOf(live.dataDir), recipient: null });
  for (const one of [child, agent, service]) await one.close();
  await live.restart(async () => {
    const kept = join(directory, "kept");
    renameSync(live.dataDir, kept);
    const { isHeld } = await restoreBackup({
      ...common,
      ...{ dataDir: live.dataDir, configOf, recipientKey: null, ledger: join(kept, "ledger") },
      ...{ isVoidAccepted: false, vouched: [], areOlderRulesAccepted: true },
    });
    assert.equal(isHeld, true);
  });
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
        await one.getByRole("button", { name: "Use a passkey" }).click();
        await heading(one, "Now").waitFor();
      }
      const held = page.locator("[data-held]");
      await held.waitFor();
      await go(page, "Settings");
      await held.waitFor();
      await inspect(page, "held", pictures);
      await page.getByRole("button", { name: "It was wanted: let the server work" }).click();
      await held.getByLabel(/^Why/).fill("the disk was lost");
      await held.getByRole("button", { name: "Ask a second admin" }).click();
      await held.locator('[data-awaited="pending"]').waitFor();
      await go(other, "Confirmations");
      await other.getByRole("button", { name: "Look again" }).click();
      await other.getByRole("row").filter({ hasText: "the disk was lost" }).getByRole("link").first().click();
      await other.getByRole("button", { name: "Confirm with your passkey" }).click();
      await other.getByText("Whoever asked does it now").waitFor();
      await held.getByRole("button", { name: "Do it now" }).click();
      await held.waitFor({ state: "detached" });
    },
  ),
] as const;
