/** An auditor who lost a passkey comes back by two admins, and one who has read much asks them for a further page. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { press, write } from "./keyboard.ts";
import { confirm } from "./second-admin.ts";
import { go, heading, step } from "./step.ts";
import { LINES_PER_DAY } from "./world.ts";

/** Reads pages of everybody's until one is refused, as a program in the page's place would. */
async function readAll(page: Page): Promise<number> {
  const lines: unknown = await page.evaluate(`(async () => {
    let lines = 0;
    for (let turn = 0; turn < ${LINES_PER_DAY}; turn += 1) {
      const answer = await fetch("/v1/events?limit=500");
      if (!answer.ok) return (await answer.json()).error.code === "mass_export_unconfirmed" ? lines : -1;
      lines += (await answer.json()).events.length;
    }
    return -1;
  })()`);
  return Number(lines);
}

const AUDITOR = { roles: ["auditor"] } as const;

/** Opens a one-time link, and makes a passkey. */
async function comeIn(
  page: Page,
  { name, link }: { readonly name: string; readonly link: string },
): Promise<void> {
  await page.goto(link);
  await write(page.getByLabel("Your name, for others to see"), name);
  await press(page.getByRole("button", { name: "Create a passkey and come in" }));
  await heading(page, "Now").waitFor();
}

/** One after another. */
export const READING = [
  step(
    "who lost every passkey comes back by a link that two admins made",
    async ({ world, browser, pictures }) => {
      const { page, other } = browser;
      const { page: lost } = await browser.open();
      await comeIn(lost, { name: "Rosa", link: `${world.origin}/app/welcome#${await world.link(AUDITOR)}` });
      await go(page, "People");
      await page.reload();
      await press(page.getByRole("button", { name: "Change Rosa" }));
      const dialog = page.getByRole("dialog", { name: "Rosa" });
      await press(dialog.getByRole("button", { name: "Make a link for Rosa" }));
      await write(dialog.getByLabel(/^Why/), "her telephone is in the lake");
      await press(dialog.getByRole("button", { name: "Ask a second admin" }));
      await dialog.locator('[data-awaited="pending"]').waitFor();
      await confirm(other, { title: "A link that lets somebody in", reason: "in the lake" });
      await press(dialog.getByRole("button", { name: "Do it now" }));
      const shown = (await dialog.getByText("/app/welcome#").textContent()) ?? "";
      await inspect(page, "recovery", pictures);
      await page.keyboard.press("Escape");
      const { page: back } = await browser.open();
      await comeIn(back, { name: "Rosa", link: shown });
      await lost.reload();
      await heading(lost, "Sign in").waitFor();
      await lost.context().close();
      await back.context().close();
    },
  ),
  step(
    "more of everybody's than a day's lines is a second admin's to agree to, page by page",
    async ({ world, browser, pictures }) => {
      const { other } = browser;
      // Not Rosa: who made somebody a way back is no second person for that one within the day.
      const { page: reader } = await browser.open();
      await comeIn(reader, {
        name: "Vera",
        link: `${world.origin}/app/welcome#${await world.link(AUDITOR)}`,
      });
      const lines = await readAll(reader);
      assert.ok(lines >= LINES_PER_DAY, `${lines} lines`);
      await go(reader, "Ledger");
      await reader.locator("[data-beyond]").waitFor();
      await inspect(reader, "beyond", pictures);
      await write(reader.getByLabel(/^Why/), "the yearly audit");
      await press(reader.getByRole("button", { name: "Ask a second admin" }));
      await reader.locator('[data-awaited="pending"]').waitFor();
      await confirm(other, { title: "A further page of everybody’s events", reason: "the yearly audit" });
      await press(reader.getByRole("button", { name: "Do it now" }));
      await reader.getByRole("cell").first().waitFor();
      // What stands by its name goes on all the same.
      await go(reader, "Agents");
      await write(reader.getByPlaceholder("Name, or path/name"), "bookk");
      await press(reader.getByRole("link", { name: "bookkeeper", exact: true }));
      await heading(reader, "bookkeeper").waitFor();
      await reader.getByRole("region", { name: "What it did" }).getByRole("link").first().waitFor();
      await reader.context().close();
    },
  ),
] as const;
