/** Organizations: made and filled by an admin of the place, and looked at by one of their own. */
import assert from "node:assert/strict";
import type { Locator, Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { choose, press, write } from "./keyboard.ts";
import { go, heading, step } from "./step.ts";

/** What an admin of an organization may: see the agents of its members, and stop one. */
async function lookAfter(visitor: Page, organization: Locator): Promise<void> {
  const page = organization.page();
  const ada = /prs_[0-9A-Z]{26}/.exec(await page.locator('[data-person="Ada"]').innerHTML())?.[0] ?? "";
  await write(organization.getByLabel("Id of somebody in the list above (prs_…)"), ada);
  await choose(organization.getByLabel("There as"), "member");
  await press(organization.getByRole("button", { name: "Add, or change" }));
  await organization.locator('[data-member="Ada"]').waitFor();
  await visitor.reload();
  await press(visitor.locator('[data-organization="payments"]').getByText("payments", { exact: true }));
  await press(visitor.locator('[data-member="Ada"]').getByRole("link"));
  await press(visitor.getByRole("link", { name: "bookkeeper", exact: true }));
  await heading(visitor, "bookkeeper").waitFor();
  await press(visitor.getByRole("button", { name: "Stop", exact: true }));
  await press(visitor.getByRole("button", { name: "Stop it now" }));
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
      await write(visitor.getByLabel("Your name, for others to see"), "Lise");
      await press(visitor.getByRole("button", { name: "Create a passkey and come in" }));
      await heading(visitor, "Now").waitFor();
      await go(page, "People");
      await page.reload();
      const row = page.locator('[data-person="Lise"]');
      const id = /prs_[0-9A-Z]{26}/.exec(await row.innerHTML())?.[0] ?? "";
      assert.notEqual(id, "");
      await write(page.getByLabel("Name of a new organization"), "payments");
      await press(page.getByRole("button", { name: "Make the organization" }));
      const made = page.locator('[data-organization="payments"]');
      await press(made.getByText("payments", { exact: true }));
      await write(made.getByLabel("Id of somebody in the list above (prs_…)"), id);
      await choose(made.getByLabel("There as"), "admin");
      await press(made.getByRole("button", { name: "Add, or change" }));
      await made.locator('[data-member="Lise"]').waitFor();
      await inspect(page, "organizations", pictures);
      await go(visitor, "People");
      await visitor.reload();
      await press(visitor.locator('[data-organization="payments"]').getByText("payments", { exact: true }));
      await visitor.locator('[data-member="Lise"]').getByRole("link").waitFor();
      await lookAfter(visitor, made);
      await write(made.getByLabel("Id of somebody in the list above (prs_…)"), id);
      await choose(made.getByLabel("There as"), "member");
      await press(made.getByRole("button", { name: "Add, or change" }));
      await made.locator('[data-member="Lise"]').getByText("member", { exact: true }).waitFor();
      await visitor.reload();
      await heading(visitor, "bookkeeper").waitFor({ state: "detached" });
      await visitor.getByRole("alert").waitFor();
      await visitor.context().close();
      await press(made.getByRole("button", { name: "Remove Ada" }));
      await made.locator('[data-member="Ada"]').waitFor({ state: "detached" });
      await press(made.getByRole("button", { name: "Remove Lise" }));
      await made.locator('[data-member="Lise"]').waitFor({ state: "detached" });
      await press(made.getByRole("button", { name: "End this organization" }));
      await made.waitFor({ state: "detached" });
    },
  ),
] as const;
