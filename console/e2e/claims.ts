/** An agent that registered itself is claimed by whoever has its code, and by nobody twice. */
import assert from "node:assert/strict";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { AgentIdentity } from "trustwarden";
import { inspect } from "./browser.ts";
import { go, step } from "./step.ts";

/** One after another. */
export const CLAIMS = [
  step(
    "an agent that registered itself shows a code, and is the owner's who signs for it",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const { authorities_sha256 } = discovery.parse(
        await world.live.admin("GET", "/.well-known/trustwarden"),
      );
      const code = Promise.withResolvers<string>();
      const registering = AgentIdentity.register({
        server: world.live.url,
        authoritiesSha256: authorities_sha256,
        name: "foundling",
        scope: ["read:doc"],
        onCode: (shown) => code.resolve(shown.code),
      });
      registering.catch(code.reject);
      await go(page, "Agents");
      const box = page.getByLabel(/^Claim code/);
      await box.fill("0000-0000-0000-0000");
      await page.getByRole("button", { name: "Look it up" }).click();
      await page.getByText("No agent waits under this code").waitFor();
      await box.fill((await code.promise).toLowerCase());
      await page.getByRole("button", { name: "Look it up" }).click();
      await page.locator("[data-claim]").getByText("foundling").waitFor();
      await inspect(page, "claim", pictures);
      await page.getByRole("button", { name: "Answer for it, with your passkey" }).click();
      await page.locator("[data-claimed]").waitFor();
      const agent = await registering;
      assert.equal((await agent.fetch(`${world.service.url}/docs/1`)).ok, true);
      await agent.close();
    },
  ),
] as const;
