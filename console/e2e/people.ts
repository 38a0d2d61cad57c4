/** What people do about themselves and each other: passkeys, roles, the end. */
import assert from "node:assert/strict";
import { inspect } from "./browser.ts";
import { go, heading, step } from "./step.ts";

/** One after another. */
export const PEOPLE = [
  step(
    "a second passkey is made by the word of the first, and goes by it again; the last one stays",
    async ({ browser, pictures }) => {
      const { page, device } = browser;
      await go(page, "People");
      const keys = page.locator("[data-passkey]");
      await page.getByText("the last one stays").waitFor();
      const first = await keys.first().getAttribute("data-passkey");
      await page.getByRole("button", { name: "Add a passkey, by one that you have" }).click();
      const make = page.getByRole("button", { name: "Make the new passkey" });
      await make.waitFor();
      const key = await browser.addKey();
      await device.setTouched(false);
      await make.click();
      await keys.nth(1).waitFor();
      await inspect(page, "passkeys", pictures);
      await key.setTouched(false);
      await device.setTouched(true);
      await page.locator(`[data-passkey]:not([data-passkey="${first}"])`).getByRole("button").click();
      await page.getByText("the last one stays").waitFor();
      assert.equal(await keys.count(), 1);
      assert.equal(await keys.first().getAttribute("data-passkey"), first);
    },
  ),
  step(
    "an admin changes what somebody may be, and ends it; its next look finds the door",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const { page: visitor } = await browser.open();
      await visitor.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["auditor"] })}`);
      await visitor.getByLabel("Your name, for others to see").fill("Hedy");
      await visitor.getByRole("button", { name: "Create a passkey and come in" }).click();
      await heading(visitor, "Now").waitFor();
      await page.reload();
      const row = page.locator('[data-person="Hedy"]');
      await row.getByText("auditor", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Change Hedy" }).click();
      const dialog = page.getByRole("dialog", { name: "Hedy" });
      await dialog.getByRole("checkbox", { name: /^operator/ }).check();
      await inspect(page, "person", pictures);
      await dialog.getByRole("button", { name: "Change the roles" }).click();
      await row.getByText("operator", { exact: true }).waitFor();
      await dialog.getByRole("button", { name: /^End Hedy/ }).click();
      await row.getByText("ended", { exact: true }).waitFor();
      await heading(visitor, "Sign in").waitFor();
      await visitor.context().close();
    },
  ),
  step("what an admin may be is another admin's to agree to", async ({ browser }) => {
    const { page, other } = browser;
    await page.getByRole("button", { name: "Change Grace" }).click();
    const dialog = page.getByRole("dialog", { name: "Grace" });
    await dialog.getByRole("checkbox", { name: /^auditor/ }).check();
    await dialog.getByRole("button", { name: "Change the roles" }).click();
    await dialog.getByLabel(/^Why/).fill("Grace reads too");
    await dialog.getByRole("button", { name: "Ask a second admin" }).click();
    await dialog.locator('[data-awaited="pending"]').waitFor();
    await go(other, "Confirmations");
    await other.getByRole("button", { name: "Look again" }).click();
    await other.getByRole("link", { name: "Change what somebody may do" }).click();
    await other.getByText(/^Grace \(prs_/).waitFor();
    await other.getByRole("button", { name: "Confirm with your passkey" }).click();
    await dialog.getByRole("button", { name: "Do it now" }).click();
    await page.locator('[data-person="Grace"]').getByText("auditor", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
  }),
] as const;
