/** Buttons for what the command line does: steps of the authority, a policy in force, the ledger's next shard, a freeze. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { choose, press, write } from "./keyboard.ts";
import { confirm } from "./second-admin.ts";
import { go, step } from "./step.ts";

/** Asks a second admin for what was just refused. */
async function askSecond(page: Page, reason: string): Promise<void> {
  await write(page.getByLabel(/^Why, for the second admin/), reason);
  await press(page.getByRole("button", { name: "Ask a second admin" }));
  await page.locator('[data-awaited="pending"]').waitFor();
}

/** What two admins, and one, do in the place of the command line. */
export const UPKEEP = [
  step("a step of the authority is taken by two admins", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await go(page, "Settings");
    const choices = page.getByRole("form", { name: "Take a step" }).getByRole("combobox");
    await choose(choices.first(), "prepare");
    await choose(choices.nth(1), "jwt");
    await inspect(page, "authority-step", pictures);
    await press(page.getByRole("button", { name: "Take this step" }));
    await askSecond(page, "the yearly key");
    await confirm(other, { reason: "the yearly key", title: "A step of the authority" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.locator("[data-step-taken]").waitFor();
    await page.getByRole("cell", { name: "prepared" }).first().waitFor();
  }),
  step("the ledger's next shard is begun by two admins", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await press(page.getByRole("button", { name: "Begin the next shard" }));
    await askSecond(page, "a new quarter");
    await confirm(other, { reason: "a new quarter", title: "Turn the ledger" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.locator("[data-turned]").waitFor();
    await inspect(page, "turned", pictures);
  }),
  step("a backup is ordered by two admins, and goes to no browser", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await go(page, "Settings");
    await press(page.getByRole("button", { name: "Order a backup" }));
    await askSecond(page, "before the update");
    await confirm(other, { reason: "before the update", title: "A backup of everything" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.locator('[data-backup="made"]').waitFor();
    await inspect(page, "backup", pictures);
  }),
  step(
    "another trust domain is believed by two admins, and not any more by one",
    async ({ browser, pictures }) => {
      const { page, other } = browser;
      await go(page, "Settings");
      await page.getByText("Nobody else is believed").waitFor();
      await press(page.getByText("Believe another trust domain", { exact: true }));
      const form = page.getByRole("form", { name: "Believe another trust domain" });
      await write(form.getByLabel("Trust domain"), "partner.test");
      // Nobody listens there: the relationship is made all the same, and says that no bundle came.
      await write(form.getByLabel("Bundle endpoint"), "https://127.0.0.1:9/bundle");
      await inspect(page, "federate", pictures);
      await press(form.getByRole("button", { name: "Believe it" }));
      await askSecond(page, "we work with them");
      await confirm(other, { reason: "we work with them", title: "Believe another trust domain" });
      await page.locator('[data-awaited="confirmed"]').waitFor();
      await press(page.getByRole("button", { name: "Do it now" }));
      const made = page.locator('[data-federation="partner.test"]');
      await made.waitFor();
      await inspect(page, "federated", pictures);
      await press(made.getByRole("button", { name: "End", exact: true }));
      await press(made.getByRole("button", { name: /^End partner.test/ }));
      await made.waitFor({ state: "detached" });
    },
  ),
  step(
    "a secret has another value and another key above it, and is shown to nobody",
    async ({ browser, pictures }) => {
      const { page, other } = browser;
      await go(page, "Secrets");
      const field = page.getByLabel("New value of model-key");
      await write(field, "another one than before");
      await press(page.getByRole("button", { name: "Replace" }));
      await page.locator('[data-secret="model-key"]').getByText("version 2").waitFor();
      assert.equal(await field.inputValue(), "");
      assert.equal((await page.content()).includes("another one than before"), false);
      await inspect(page, "secret", pictures);
      await go(page, "Settings");
      await press(page.getByRole("button", { name: "Make the next key" }));
      await askSecond(page, "the secrets' yearly key");
      await confirm(other, { reason: "the secrets' yearly key", title: "Rotate the key of the secrets" });
      await page.locator('[data-awaited="confirmed"]').waitFor();
      await press(page.getByRole("button", { name: "Do it now" }));
      await page.locator("[data-awaited]").waitFor({ state: "detached" });
    },
  ),
  step("a freeze is put on and lifted by one admin", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Policies");
    const form = page.getByRole("form", { name: "Freeze" });
    await write(form.getByLabel("Why"), "release night");
    await press(form.getByRole("button", { name: "Freeze" }));
    await page.getByText("release night").waitFor();
    await inspect(page, "frozen", pictures);
    await press(page.getByRole("button", { name: "Lift it" }));
    await form.waitFor();
  }),
] as const;
