/** A person without a mouse: goes by the tabulator to what it wants, and presses, types and chooses there. */
import type { Locator } from "playwright-core";

/** Far more than any screen has before it begins again. */
const MAX_STOPS = 150;

/** Goes on by the tabulator until this is where one is. @throws Error when it is never reached. */
async function reach(target: Locator): Promise<void> {
  await target.waitFor();
  const page = target.page();
  const here = target.and(page.locator(":focus"));
  for (let stop = 0; stop < MAX_STOPS; stop += 1) {
    if ((await here.count()) > 0) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not come to ${target}`);
}

/** Presses a button, or follows a link. */
export async function press(target: Locator): Promise<void> {
  await reach(target);
  await target.page().keyboard.press("Enter");
}

/** Sets or clears a mark. */
export async function tick(target: Locator): Promise<void> {
  await reach(target);
  await target.page().keyboard.press("Space");
}

/** Writes into a field, over what is there; a long text is put in at once, as a paste is. */
export async function write(target: Locator, text: string): Promise<void> {
  await reach(target);
  const { keyboard } = target.page();
  await keyboard.press("ControlOrMeta+A");
  await (text.length > 80 ? keyboard.insertText(text) : keyboard.type(text));
}

/** Chooses from a list by the arrows. @throws Error when the value is not in it. */
export async function choose(target: Locator, value: string): Promise<void> {
  await reach(target);
  const { keyboard } = target.page();
  await keyboard.press("Home");
  for (let stop = 0; stop < MAX_STOPS; stop += 1) {
    if ((await target.inputValue()) === value) return;
    await keyboard.press("ArrowDown");
  }
  throw new Error(`the keyboard does not choose ${value} of ${target}`);
}

/** Opens the system's own window for files, which takes the file. */
export async function attach(target: Locator, file: string): Promise<void> {
  await reach(target);
  const opened = target.page().waitForEvent("filechooser");
  await target.page().keyboard.press("Enter");
  await (await opened).setFiles(file);
}
