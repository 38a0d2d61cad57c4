/** What nobody does alone: one admin asks in its browser, another answers in its own. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { inspect } from "./browser.ts";
import { choose, press, write } from "./keyboard.ts";
import { go, heading, step } from "./step.ts";

const CONFIRM = "Confirm with your passkey";
const TITLE = "A link that lets somebody in";

/** Tries to invite an admin, and asks for a second one where that is refused. */
async function askForAdmin(page: Page, reason: string): Promise<void> {
  await go(page, "Now");
  await go(page, "People");
  await choose(page.getByRole("region", { name: "Invite somebody" }).getByRole("combobox"), "admin");
  await press(page.getByRole("button", { name: "Make a link" }));
  await write(page.getByLabel(/^Why/), reason);
  await press(page.getByRole("button", { name: "Ask a second admin" }));
  await page.locator('[data-awaited="pending"]').waitFor();
}

/** Opens what waits, by the reason that was given for it. */
async function openAsked(page: Page, reason: string): Promise<void> {
  await go(page, "Confirmations");
  await press(page.getByRole("button", { name: "Look again" }));
  await press(page.getByRole("row").filter({ hasText: reason }).getByRole("link", { name: TITLE }));
  await heading(page, TITLE).waitFor();
}

/** What two admins do. */
export const TWO_ADMINS = [
  step("another admin comes in by a link of the host's operator", async ({ world, browser, pictures }) => {
    const { other } = browser;
    await other.goto(`${world.origin}/app/welcome#${await world.link({ roles: ["admin"] })}`);
    await write(other.getByLabel("Your name, for others to see"), "Grace");
    await press(other.getByRole("button", { name: "Create a passkey and come in" }));
    await heading(other, "Now").waitFor();
    await go(other, "Confirmations");
    await other.getByText("Nothing waits for a second admin").waitFor();
    await inspect(other, "confirmations-empty", pictures);
  }),
  step(
    "what nobody does alone is asked for where it is refused, and waits",
    async ({ browser, pictures }) => {
      const { page } = browser;
      await askForAdmin(page, "Barbara joins us");
      await inspect(page, "second-admin", pictures);
    },
  ),
  step(
    "a second admin sees exactly what would be sent; a signature that is not taken is no logout",
    async ({ browser, pictures }) => {
      const { other } = browser;
      await openAsked(other, "Barbara joins us");
      for (const shown of ["POST /v1/people/links", '{"roles":["admin"]}', "Barbara joins us"]) {
        await other.getByText(shown, { exact: true }).waitFor();
      }
      await inspect(other, "confirmation", pictures);
      await other.route("**/v1/confirmations/*/answer", (route) => {
        const body = route.request().postData() ?? "";
        // The last digits of the signature say another number.
        const changed = body.replace(/("signature":"[^"]{20})(.)/, (_all, before: string, digit: string) =>
          before.concat(digit === "A" ? "B" : "A"),
        );
        assert.notEqual(changed, body);
        return route.continue({ postData: changed });
      });
      await press(other.getByRole("button", { name: CONFIRM }));
      await other.getByText("passkey_invalid").waitFor();
      await other.unroute("**/v1/confirmations/*/answer");
      assert.equal(await other.getByRole("heading", { name: "Sign in" }).count(), 0);
      await heading(other, TITLE).waitFor();
    },
  ),
  step("a page that shows another request than the one that was asked signs nothing", async ({ browser }) => {
    const { other } = browser;
    const path = new URL(other.url()).pathname.replace("/app/", "/v1/");
    const shown = String(await other.evaluate(`fetch("${path}").then((answer) => answer.text())`));
    const body = shown.replace("admin", "owner");
    await other.route(`**${path}`, (route) => route.fulfill({ body, contentType: "application/json" }));
    let answers = 0;
    other.on("request", (request) => {
      if (request.url().endsWith("/answer")) answers += 1;
    });
    await other.reload();
    await other.getByText('{"roles":["owner"]}', { exact: true }).waitFor();
    await press(other.getByRole("button", { name: CONFIRM }));
    await other.getByText("confirmation_invalid").waitFor();
    assert.equal(answers, 0);
    await other.unroute(`**${path}`);
    await other.reload();
  }),
  step("once it is confirmed by a passkey, whoever asked does it, once", async ({ browser, pictures }) => {
    const { page, other } = browser;
    await press(other.getByRole("button", { name: CONFIRM }));
    await other.getByText("Whoever asked does it now").waitFor();
    await page.locator('[data-awaited="confirmed"]').waitFor();
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.getByText("Whoever opens this first becomes the person").waitFor();
    await go(page, "Confirmations");
    await press(page.getByRole("button", { name: "Show all" }));
    await page.locator('[data-state="used"]').waitFor();
    await inspect(page, "confirmations", pictures);
  }),
  step("a second admin's no ends it, and is seen where it was asked", async ({ browser }) => {
    const { page, other } = browser;
    await askForAdmin(page, "for my other device");
    await openAsked(other, "for my other device");
    await press(other.getByRole("button", { name: "Refuse" }));
    await other.getByText("refused", { exact: true }).waitFor();
    await page.locator('[data-awaited="refused"]').waitFor();
  }),
  step("whoever asked and went away does it from the list", async ({ browser }) => {
    const { page, other } = browser;
    await askForAdmin(page, "for Hedy");
    await go(page, "Now");
    await openAsked(other, "for Hedy");
    await press(other.getByRole("button", { name: CONFIRM }));
    await other.getByText("Whoever asked does it now").waitFor();
    await openAsked(page, "for Hedy");
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.locator("[data-done]").getByText('"kind":"invitation"').waitFor();
  }),
] as const;
