/** Somebody comes through a real identity provider: away to its page, back to ours, and then a first passkey. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { press, write } from "./keyboard.ts";
import { go, heading, step } from "./step.ts";

/** Fills in the provider's own pages. */
async function signInThere(page: Page, login: string): Promise<void> {
  await page.locator('input[name="login"]').fill(login);
  await page.locator('input[name="password"]').fill("x");
  await page.getByRole("button", { name: /sign-in/i }).click();
  await page.getByRole("button", { name: /continue/i }).click();
}

/** One after another. */
export const PROVIDERS = [
  step(
    "an owner comes through an identity provider, and is one with a first passkey",
    async ({ world, browser, pictures }) => {
      const { page } = await browser.open();
      await page.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["owner"] })}`);
      await write(page.getByLabel("Your name, for others to see"), "Olga");
      await press(page.getByRole("button", { name: "Come in with Acme" }));
      await signInThere(page, "olga");
      await heading(page, "One more step").waitFor();
      assert.equal(new URL(page.url()).search, "");
      await inspect(page, "newcomer", pictures);
      await press(page.getByRole("button", { name: "Make your first passkey" }));
      await heading(page, "Now").waitFor();
      await go(page, "People");
      await page.locator("[data-passkey]").first().waitFor();
      await press(page.getByRole("button", { name: "Sign out" }));
      await page.waitForURL((url) => url.origin === world.provider);
      await page.context().close();
    },
  ),
  step(
    "who was invited that way signs in that way again; whom nobody invited is told what to do",
    async ({ world, browser, pictures }) => {
      const { page } = await browser.open();
      await page.goto(world.origin);
      await heading(page, "Sign in").waitFor();
      await inspect(page, "sign-in-providers", pictures);
      await press(page.getByRole("button", { name: "Sign in with Acme" }));
      await signInThere(page, "olga");
      await heading(page, "Now").waitFor();
      await page.context().close();
      const { page: stranger } = await browser.open();
      await stranger.goto(world.origin);
      await press(stranger.getByRole("button", { name: "Sign in with Acme" }));
      await signInThere(stranger, "mallory");
      await heading(stranger, "You are not signed in").waitFor();
      await inspect(stranger, "not-signed-in", pictures);
      await stranger.context().close();
    },
  ),
  step(
    "whoever has a passkey adds a provider by its word, and is the same person by either",
    async ({ world, browser, pictures }) => {
      const { page } = await browser.open();
      await page.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["auditor"] })}`);
      await write(page.getByLabel("Your name, for others to see"), "Ivan");
      await press(page.getByRole("button", { name: "Create a passkey and come in" }));
      await heading(page, "Now").waitFor();
      await go(page, "People");
      const asked = page.waitForRequest("**/v1/passkeys/options/*");
      await press(page.getByRole("button", { name: "Add Acme" }));
      assert.match((await asked).url(), /\/add-identity(:|%3A)acme$/);
      await signInThere(page, "ivan");
      await heading(page, "Now").waitFor();
      await page.context().close();
      const { page: again } = await browser.open();
      await again.goto(world.origin);
      await press(again.getByRole("button", { name: "Sign in with Acme" }));
      await signInThere(again, "ivan");
      await heading(again, "Now").waitFor();
      assert.ok(await again.getByText("Ivan", { exact: true }).isVisible());
      await go(again, "People");
      await again.locator("[data-passkey]").first().waitFor();
      await inspect(again, "further-provider", pictures);
      await again.context().close();
    },
  ),
  step("an answer that this tab did not ask for is thrown away", async ({ world, browser }) => {
    const { page } = await browser.open();
    let asked = 0;
    page.on("request", (request) => {
      if (request.method() === "POST") asked += 1;
    });
    await page.goto(`${world.origin}/app/signed-in/acme?code=laid-out&state=by-somebody`);
    await page.getByText("This tab did not begin this sign-in.").waitFor();
    assert.equal(asked, 0);
    await page.context().close();
  }),
] as const;
