/** What the parts of a scenario are made of. */
import type { Page } from "playwright-core";
import type { Watched } from "./browser.ts";
import { write } from "./keyboard.ts";
import type { World } from "./world.ts";

/** What a step works with. */
export interface Stage {
  readonly world: World;
  readonly browser: Watched;
  readonly pictures: string;
}

/** One thing that a person does, and what must then be so. */
export interface Step {
  readonly name: string;
  readonly act: (stage: Stage) => Promise<void>;
}

/** A step by its name, a sentence. */
export const step = (name: string, act: Step["act"]): Step => ({ name, act });
/** The title of a screen. */
export const heading = (page: Page, name: string | RegExp) => page.getByRole("heading", { name, level: 1 });

/** Opens a screen by the rail, as a person does. */
export async function go(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name, exact: true }).click();
  await heading(page, name).waitFor();
}

/** Asks in the bar above. */
export async function ask(page: Page, text: string): Promise<void> {
  const box = page.getByRole("search").getByRole("searchbox");
  await write(box, text);
  await box.press("Enter");
}

/** What the browser found of the evidence. */
export const proven = (page: Page) => page.locator('[data-verdict="proven"]').waitFor();
export const refused = (page: Page) => page.locator('[data-verdict="refused"]').waitFor();
