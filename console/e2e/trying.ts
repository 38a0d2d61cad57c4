/** A draft of a policy, tried on what was decided so far. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exampleFiles, packFiles } from "../../test/support/policies.ts";
import { inspect } from "./browser.ts";
import { go, step } from "./step.ts";

/** What an operator does before a policy is loaded. */
export const TRYING = [
  step("a draft says what it would have decided, and what it cannot say", async ({ browser, pictures }) => {
    const { page } = browser;
    const file = join(pictures, "draft.tar.gz");
    writeFileSync(file, packFiles(exampleFiles(3)));
    await go(page, "Policies");
    await page.locator('input[name="bundle"]').setInputFiles(file);
    await page.getByRole("button", { name: "What would it change?" }).click();
    const said = page.locator("[data-replayed]");
    await said.waitFor();
    // Nobody paid anything: the example has nothing against what was done, and looks at nothing that is not recorded.
    assert.match((await said.textContent()) ?? "", /\d+ decisions: \d+ unchanged, 0 different, 0 could not/);
    await inspect(page, "replay", pictures);
    writeFileSync(file, "no bundle");
    await page.locator('input[name="bundle"]').setInputFiles(file);
    await page.getByRole("button", { name: "What would it change?" }).click();
    await page.getByText("policy_bundle_malformed").waitFor();
  }),
] as const;
