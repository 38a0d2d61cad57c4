/** Buttons for what the command line does: steps of the authority, a policy in force, the ledger's next shard, a freeze. */
import type { Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { go, heading, step } from "./step.ts";

/** Asks a second admin for what was just refused. */
async function askSecond(page: Page, reason: string): Promise<void> {
  await page.getByLabel(/^Why, for the second admin/).fill(reason);
  await page.getByRole("button", { name: "Ask a second admin" }).click();
  await page.locator('[data-awaited="pending"]').waitFor();
}

/** The second admin finds it by its reason, and confirms it. */
async function confirm(
  other: Page,
  { reason, title }: { readonly reason: string; readonly title: string },
): Promise<void> {
  await go(other, "Confirmations");
  await other.getByRole("button", { name: "Look again" }).click();
  await other.getByRole("row").filter({ hasText: reason }).getByRole("link", { name: title }).click();
  await heading(other, title).waitFor();
  await other.getByRole("button", { name: "Confirm with your passkey" }).click();
  await other.getByText("Whoever asked does it now").waitFor();
}

/** What two admins, and one, do in the place of the command line. */
export const UPKEEP = [
  step("a step of the authority is taken by two admins", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await go(page, "Settings");
    const choices = page.getByRole("form", { name: "Take a step" }).getByRole("combobox");
    await choices.first().selectOption("prepare");
    await choices.nth(1).selectOption("jwt");
    await inspect(page, "authority-step", pictures);
    await page.getByRole("button", { name: "Take this step" }).click();
    await askSecond(page, "the yearly key");
    await confirm(other, { reason: "the yearly key", title: "A step of the authority" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await page.getByRole("button", { name: "Do it now" }).click();
    await page.locator("[data-step-taken]").waitFor();
    await page.getByRole("cell", { name: "prepared" }).first().waitFor();
  }),
  step("the ledger's next shard is begun by two admins", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await page.getByRole("button", { name: "Begin the next shard" }).click();
    await askSecond(page, "a new quarter");
    await confirm(other, { reason: "a new quarter", title: "Turn the ledger" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await page.getByRole("button", { name: "Do it now" }).click();
    await page.locator("[data-turned]").waitFor();
    await inspect(page, "turned", pictures);
  }),
  step("a backup is ordered by two admins, and goes to no browser", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await go(page, "Settings");
    await page.getByRole("button", { name: "Order a backup" }).click();
    await askSecond(page, "before the update");
    await confirm(other, { reason: "before the update", title: "A backup of everything" });
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await page.getByRole("button", { name: "Do it now" }).click();
    await page.locator('[data-backup="made"]').waitFor();
    await inspect(page, "backup", pictures);
  }),
  step(
    "another trust domain is believed by two admins, and not any more by one",
    async ({ browser, pictures }) => {
      const { page, other } = browser;
      await go(page, "Settings");
      await page.getByText("Nobody else is believed").waitFor();
      await page.getByText("Believe another trust domain", { exact: true }).click();
      const form = page.getByRole("form", { name: "Believe another trust domain" });
      await form.getByLabel("Trust domain").fill("partner.test");
      // Nobody listens there: the relationship is made all the same, and says that no bundle came.
      await form.getByLabel("Bundle endpoint").fill("https://127.0.0.1:9/bundle");
      await inspect(page, "federate", pictures);
      await form.getByRole("button", { name: "Believe it" }).click();
      await askSecond(page, "we work with them");
      await confirm(other, { reason: "we work with them", title: "Believe another trust domain" });
      await page.locator('[data-awaited="confirmed"]').waitFor();
      await page.getByRole("button", { name: "Do it now" }).click();
      const made = page.locator('[data-federation="partner.test"]');
      await made.waitFor();
      await inspect(page, "federated", pictures);
      await made.getByRole("button", { name: "End", exact: true }).click();
      await made.getByRole("button", { name: /^End partner.test/ }).click();
      await made.waitFor({ state: "detached" });
    },
  ),
  step("a freeze is put on and lifted by one admin", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Policies");
    const form = page.getByRole("form", { name: "Freeze" });
    await form.getByLabel("Why").fill("release night");
    await form.getByRole("button", { name: "Freeze" }).click();
    await page.getByText("release night").waitFor();
    await inspect(page, "frozen", pictures);
    await page.getByRole("button", { name: "Lift it" }).click();
    await form.waitFor();
  }),
] as const;
