/** What people do about themselves and each other: passkeys, roles, the end. */
import assert from "node:assert/strict";
import { inspect } from "./browser.ts";
import { press, tick, write } from "./keyboard.ts";
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
      await press(page.getByRole("button", { name: "Add a passkey, by one that you have" }));
      const make = page.getByRole("button", { name: "Make the new passkey" });
      await make.waitFor();
      const key = await browser.addKey();
      await device.setTouched(false);
      await press(make);
      await keys.nth(1).waitFor();
      await inspect(page, "passkeys", pictures);
      await key.setTouched(false);
      await device.setTouched(true);
      await press(page.locator(`[data-passkey]:not([data-passkey="${first}"])`).getByRole("button"));
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
      await write(visitor.getByLabel("Your name, for others to see"), "Hedy");
      await press(visitor.getByRole("button", { name: "Create a passkey and come in" }));
      await heading(visitor, "Now").waitFor();
      await page.reload();
      const row = page.locator('[data-person="Hedy"]');
      await row.getByText("auditor", { exact: true }).waitFor();
      await press(page.getByRole("button", { name: "Change Hedy" }));
      const dialog = page.getByRole("dialog", { name: "Hedy" });
      await tick(dialog.getByRole("checkbox", { name: /^operator/ }));
      await inspect(page, "person", pictures);
      await press(dialog.getByRole("button", { name: "Change the roles" }));
      await row.getByText("operator", { exact: true }).waitFor();
      await press(dialog.getByRole("button", { name: /^End Hedy/ }));
      await row.getByText("ended", { exact: true }).waitFor();
      await heading(visitor, "Sign in").waitFor();
      await visitor.context().close();
    },
  ),
  step("what an admin may be is another admin's to agree to", async ({ browser }) => {
    const { page, other } = browser;
    await press(page.getByRole("button", { name: "Change Grace" }));
    const dialog = page.getByRole("dialog", { name: "Grace" });
    await tick(dialog.getByRole("checkbox", { name: /^auditor/ }));
    await press(dialog.getByRole("button", { name: "Change the roles" }));
    await write(dialog.getByLabel(/^Why/), "Grace reads too");
    await press(dialog.getByRole("button", { name: "Ask a second admin" }));
    await dialog.locator('[data-awaited="pending"]').waitFor();
    await go(other, "Confirmations");
    await press(other.getByRole("button", { name: "Look again" }));
    await press(other.getByRole("link", { name: "Change what somebody may do" }));
    await other.getByText(/^Grace \(prs_/).waitFor();
    await press(other.getByRole("button", { name: "Confirm with your passkey" }));
    await press(dialog.getByRole("button", { name: "Do it now" }));
    await page.locator('[data-person="Grace"]').getByText("auditor", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
  }),
] as const;
