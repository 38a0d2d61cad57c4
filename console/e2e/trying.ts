/** A draft of a policy, tried on what was decided so far. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exampleFiles, packFiles, packSigned } from "../../test/support/policies.ts";
import { inspect } from "./browser.ts";
import { attach, press, write } from "./keyboard.ts";
import { go, step } from "./step.ts";

/** What an operator does before a policy is loaded. */
export const TRYING = [
  step("a draft says what it would have decided, and what it cannot say", async ({ browser, pictures }) => {
    const { page } = browser;
    const file = join(pictures, "draft.tar.gz");
    writeFileSync(file, packFiles(exampleFiles(3)));
    await go(page, "Policies");
    await attach(page.locator('input[name="bundle"]'), file);
    await press(page.getByRole("button", { name: "What would it change?" }));
    const said = page.locator("[data-replayed]");
    await said.waitFor();
    // One payment was made, of an amount that the example does not know; it looks at nothing that is not recorded.
    assert.match((await said.textContent()) ?? "", /\d+ decisions: \d+ unchanged, 1 different, 0 could not/);
    const changed = page.locator('[data-change="allow deny"]');
    await changed.getByText("amount_too_large").waitFor();
    await changed.getByRole("link", { name: "pay:doc" }).waitFor();
    await inspect(page, "replay", pictures);
    writeFileSync(file, "no bundle");
    await attach(page.locator('input[name="bundle"]'), file);
    await press(page.getByRole("button", { name: "What would it change?" }));
    await page.getByText("policy_bundle_malformed").waitFor();
  }),
  step("a signed policy is put in force by two admins", async ({ world, browser, pictures }) => {
    const { page, other } = browser;
    const file = join(pictures, "signed.tar.gz");
    writeFileSync(file, packSigned(exampleFiles(4), world.policyKey));
    const form = page.getByRole("form", { name: "Load a policy" });
    await attach(form.locator('input[name="signed"]'), file);
    await press(form.getByRole("button", { name: "Put it in force" }));
    await write(page.getByLabel(/^Why, for the second admin/), "payments have limits");
    await press(page.getByRole("button", { name: "Ask a second admin" }));
    await page.locator('[data-awaited="pending"]').waitFor();
    await go(other, "Confirmations");
    await press(other.getByRole("button", { name: "Look again" }));
    await press(other.getByRole("row").filter({ hasText: "payments have limits" }).getByRole("link").first());
    await press(other.getByRole("button", { name: "Confirm with your passkey" }));
    await press(page.getByRole("button", { name: "Do it now" }));
    await page.locator('[data-loaded="4"]').waitFor();
    await inspect(page, "policy-loaded", pictures);
  }),
] as const;
