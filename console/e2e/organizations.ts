/** Organizations: made and filled by an admin of the place, and looked at by one of their own. */
import assert from "node:assert/strict";
import type { Locator, Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { go, heading, step } from "./step.ts";

/** What an admin of an organization may: see the agents of its members, and stop one. */
async function lookAfter(visitor: Page, organization: Locator): Promise<void> {
  const page = organization.page();
  const ada = /prs_[0-9A-Z]{26}/.exec(await page.locator('[data-person="Ada"]').innerHTML())?.[0] ?? "";
  await organization.getByLabel("Id of somebody in the list above (prs_…)").fill(ada);
  await organization.getByLabel("There as").selectOption("member");
  await organization.getByRole("button", { name: "Add, or change" }).click();
  await organization.locator('[data-member="Ada"]').waitFor();
  await visitor.reload();
  await visitor.locator('[data-organization="payments"]').getByText("payments", { exact: true }).click();
  await visitor.locator('[data-member="Ada"]').getByRole("link").click();
  await visitor.getByRole("link", { name: "bookkeeper", exact: true }).click();
  await heading(visitor, "bookkeeper").waitFor();
  await visitor.getByRole("button", { name: "Stop", exact: true }).click();
  await visitor.getByRole("button", { name: "Stop it now" }).click();
  await visitor.locator("[data-stopped]").waitFor();
}

/** One after another. */
export const ORGANIZATIONS = [
  step(
    "an admin makes an organization, and whoever looks after it sees its members' agents",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const { page: visitor } = await browser.open();
      await visitor.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["owner"] })}`);
      await visitor.getByLabel("Your name, for others to see").fill("Lise");
      await visitor.getByRole("button", { name: "Create a passkey and come in" }).click();
      await heading(visitor, "Now").waitFor();
      await go(page, "People");
      await page.reload();
      const row = page.locator('[data-person="Lise"]');
      const id = /prs_[0-9A-Z]{26}/.exec(await row.innerHTML())?.[0] ?? "";
      assert.notEqual(id, "");
      await page.getByLabel("Name of a new organization").fill("payments");
      await page.getByRole("button", { name: "Make the organization" }).click();
      const made = page.locator('[data-organization="payments"]');
      await made.getByText("payments", { exact: true }).click();
      await made.getByLabel("Id of somebody in the list above (prs_…)").fill(id);
      await made.getByLabel("There as").selectOption("admin");
      await made.getByRole("button", { name: "Add, or change" }).click();
      await made.locator('[data-member="Lise"]').waitFor();
      await inspect(page, "organizations", pictures);
      await go(visitor, "People");
      await visitor.reload();
      await visitor.locator('[data-organization="payments"]').getByText("payments", { exact: true }).click();
      await visitor.locator('[data-member="Lise"]').getByRole("link").waitFor();
      await lookAfter(visitor, made);
      await made.getByLabel("Id of somebody in the list above (prs_…)").fill(id);
      await made.getByLabel("There as").selectOption("member");
      await made.getByRole("button", { name: "Add, or change" }).click();
      await made.locator('[data-member="Lise"]').getByText("member", { exact: true }).waitFor();
      await visitor.reload();
      await heading(visitor, "bookkeeper").waitFor({ state: "detached" });
      await visitor.getByRole("alert").waitFor();
      await visitor.context().close();
      await made.getByRole("button", { name: "Remove Ada" }).click();
      await made.locator('[data-member="Ada"]').waitFor({ state: "detached" });
      await made.getByRole("button", { name: "Remove Lise" }).click();
      await made.locator('[data-member="Lise"]').waitFor({ state: "detached" });
      await made.getByRole("button", { name: "End this organization" }).click();
      await made.waitFor({ state: "detached" });
    },
  ),
] as const;
