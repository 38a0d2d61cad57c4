/** An agent that registered itself is claimed by whoever has its code, and goes to another owner when both sign. */
import assert from "node:assert/strict";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { AgentIdentity } from "trustwarden";
import { inspect } from "./browser.ts";
import { press, write } from "./keyboard.ts";
import { go, heading, step } from "./step.ts";

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
      await write(box, "0000-0000-0000-0000");
      await press(page.getByRole("button", { name: "Look it up" }));
      await page.getByText("No agent waits under this code").waitFor();
      await write(box, (await code.promise).toLowerCase());
      await press(page.getByRole("button", { name: "Look it up" }));
      await page.locator("[data-claim]").getByText("foundling").waitFor();
      await inspect(page, "claim", pictures);
      await press(page.getByRole("button", { name: "Answer for it, with your passkey" }));
      await page.locator("[data-claimed]").waitFor();
      const agent = await registering;
      assert.equal((await agent.fetch(`${world.service.url}/docs/1`)).ok, true);
      await agent.close();
    },
  ),
  step(
    "an owner hands an agent over, and it is the other's when that one signs too",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const { page: visitor } = await browser.open();
      await visitor.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["owner"] })}`);
      await write(visitor.getByLabel("Your name, for others to see"), "Mary");
      await press(visitor.getByRole("button", { name: "Create a passkey and come in" }));
      await heading(visitor, "Now").waitFor();
      await go(visitor, "Agents");
      const taking = visitor.locator("form", { hasText: "Whoever gives you an agent" });
      const id = /own_[0-9A-Z]{26}/.exec(await taking.innerHTML())?.[0] ?? "";
      await inspect(visitor, "take-agent", pictures);
      await go(page, "Agents");
      await write(page.getByRole("searchbox", { name: /^Search owners and agents/ }), "foundling");
      await press(page.getByRole("link", { name: "foundling", exact: true }));
      await heading(page, "foundling").waitFor();
      await write(page.getByLabel(/^To whom/), id);
      await press(page.getByRole("button", { name: "Offer it, with your passkey" }));
      const offer = (await page.locator("[data-offered] code").textContent()) ?? "";
      await inspect(page, "hand-over", pictures);
      for (const one of [page, visitor]) {
        await go(one, "Offers");
        await one.locator('[data-offer="transfer"]').getByText("hand-over").waitFor();
      }
      await visitor.getByRole("cell", { name: "you", exact: true }).waitFor();
      await inspect(page, "offers", pictures);
      await page.goBack();
      await go(visitor, "Agents");
      await go(page, "Agents");
      await write(page.getByLabel(/^Offer/), offer);
      await page.getByText("It is for another owner").waitFor();
      assert.equal(await page.getByRole("button", { name: "Take it, with your passkey" }).isDisabled(), true);
      await page.goBack();
      await heading(page, "foundling").waitFor();
      await write(visitor.getByLabel(/^Offer/), offer);
      await visitor.locator("[data-offer]").getByText(/^agt_/).waitFor();
      await press(visitor.getByRole("button", { name: "Take it, with your passkey" }));
      await visitor.locator("[data-taken]").waitFor();
      await page.reload();
      await page.getByRole("link", { name: id }).waitFor();
      await visitor.context().close();
    },
  ),
] as const;
