/**
 * Debian's Chromium with a virtual authenticator, watched: whatever the page's content security policy reports, whatever
 * throws, and whatever is asked of another origin fails the run.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Browser, type CDPSession, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };
/** What is left of a desktop's window at 200 % zoom. */
const ZOOMED = { width: 640, height: 430 };
/** Of a long list the first ones stand for the rest. */
const MAX_STOPS = 40;
/** Pictures are drawn by the processor, which other tasks may keep busy. */
const STEP_TIMEOUT_MS = 120_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Where a browser may go. */
export interface Places {
  readonly origin: string;
  /** Of the identity provider, which has a content security policy of its own. */
  readonly provider: string;
}

/** What a passkey is on; a person touches one and not the other. */
export interface Device {
  setTouched(isTouched: boolean): Promise<void>;
}

/** One person's window, and what it holds passkeys with. */
export interface Screen {
  readonly page: Page;
  readonly device: Device;
  /** A security key beside the device's own. */
  addKey(): Promise<Device>;
}

/** A browser that a person would sit in front of. */
export interface Watched extends Screen {
  /** In front of another screen: somebody else, with a passkey holder of its own. */
  readonly other: Page;
  /** One more screen, for whoever passes by. */
  open(): Promise<Screen>;
  /** Names of the forms that were sent so far, none of them by a mouse. */
  readonly forms: ReadonlySet<string>;
  /** What went wrong so far, in words; whoever reads them takes them away. */
  takeFaults(): readonly string[];
  close(): Promise<void>;
}

/** Opens a browser whose only ways out are the console's origin, and that of the identity provider. */
export async function openBrowser(places: Places): Promise<Watched> {
  const browser = await launch();
  const faults: string[] = [];
  const forms = new Set<string>();
  const told = { faults, forms };
  const screen = await openScreen(browser, places, told);
  const { page: other } = await openScreen(browser, places, told);
  return {
    ...screen,
    other,
    open: () => openScreen(browser, places, told),
    forms,
    takeFaults: () => faults.splice(0),
    close: () => browser.close(),
  };
}

/** Names each form that is sent, and reports one that a mouse has a part in. */
function watchForms(origin: string): string {
  return `if (location.origin === ${JSON.stringify(origin)}) {
    const nameOf = (form) => form.classList.contains("second-admin") ? "a second admin"
      : [form.closest("section, dialog"), form].map((one) => one?.getAttribute("aria-label"))
        .concat(form.querySelector("[type=submit]")?.textContent).filter(Boolean).join(", ") || "the bar above";
    addEventListener("submit", ({ target }) => window.reportForm(nameOf(target)), true);
    addEventListener("click", ({ detail, target }) => {
      const form = target.closest?.("form");
      if (detail > 0 && form) window.reportViolation("by the mouse: " + nameOf(form));
    }, true);
  }`;
}

/** One person's window, which shares nothing with another's. */
async function openScreen(
  browser: Browser,
  { origin, provider }: Places,
  { faults, forms }: { readonly faults: string[]; readonly forms: Set<string> },
): Promise<Screen> {
  const context = await browser.newContext({
    viewport: DESKTOP,
    colorScheme: "light",
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  await context.exposeFunction("reportViolation", (text: string) => void faults.push(text));
  await context.exposeFunction("reportForm", (name: string) => void forms.add(name));
  await context.addInitScript(watchForms(origin));
  await context.addInitScript(`document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
    window.reportViolation(["CSP:", violatedDirective, blockedURI, sample].join(" ")))`);
  // Nothing leaves this machine; what the provider's own page would have from elsewhere is no fault of ours.
  await context.route(
    (url) => ![origin, provider].includes(url.origin) && url.protocol !== "data:",
    (route, request) => {
      const asking = URL.parse(request.isNavigationRequest() ? origin : request.frame().url());
      if (asking?.origin !== provider)
        faults.push(`asked of another origin: ${new URL(request.url()).origin}`);
      return route.abort();
    },
  );
  context.on("weberror", (error) => faults.push(`thrown: ${error.error().message}`));
  const page = await context.newPage();
  // From the beginning: whoever asks for files the moment that somebody listens gets the system's own window.
  page.on("filechooser", () => undefined);
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const device = await addAuthenticator(devtools, "internal");
  return { page, device, addKey: () => addAuthenticator(devtools, "usb") };
}

function launch(): Promise<Browser> {
  const found = spawnSync("sh", ["-c", NAMES.map((name) => `command -v ${name}`).join(" || ")], {
    encoding: "utf8",
  });
  const executablePath = found.stdout.trim();
  if (executablePath === "")
    throw new Error(`none of ${NAMES.join(", ")} is on the PATH; Debian: apt-get install chromium`);
  // Only here, and only as root, where Chromium's own sandbox refuses to start.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, headless: true, args });
}

/** A passkey holder that verifies its user, as a laptop's does. */
async function addAuthenticator(devtools: CDPSession, transport: "internal" | "usb"): Promise<Device> {
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport,
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return {
    setTouched: async (enabled) => {
      await devtools.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled });
    },
  };
}

/** What axe-core finds on the page as it is. */
async function auditAccessibility(page: Page): Promise<readonly string[]> {
  // Through the debugger, which the page's own policy does not bind.
  await page.evaluate(AXE);
  const found: unknown =
    await page.evaluate(`axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map(({ target, any }) =>
      target.join(" ") + " " + any.map(({ message }) => message).join("; ")).join(" | ")))`);
  return Array.isArray(found) ? found.map(String) : ["axe said nothing"];
}

/**
 * Goes through the screen, or the dialog that is open, by the tabulator alone: whatever can be used is reached, in its order, and
 * shows that it is where one is.
 */
async function walkByKeyboard(page: Page): Promise<readonly string[]> {
  const count = Number(
    await page.evaluate(`(() => {
    const root = document.querySelector("dialog[open]") ?? document.querySelector("#main") ?? document.body;
    const all = [...root.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
    const isUsed = (one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0
      && (one.type !== "radio" || one.checked);
    window.walked = [];
    window.wanted = all.filter(isUsed).slice(0, ${MAX_STOPS});
    window.onWalk ??= addEventListener("focusin", ({ target }) => {
      const { outlineStyle, boxShadow } = getComputedStyle(target);
      window.walked.push({ target, isSeen: outlineStyle !== "none" || boxShadow !== "none" });
    }) ?? true;
    document.activeElement?.blur();
    if (root.tabIndex < 0) root.focus();
    window.walked = [];
    return window.wanted.length;
  })()`),
  );
  for (let stop = 0; stop < count; stop += 1) await page.keyboard.press("Tab");
  // What came to the page meanwhile stands between.
  const isThere = () => page.evaluate("window.walked.some(({ target }) => target === window.wanted.at(-1))");
  for (let stop = 0; count > 0 && stop < MAX_STOPS && (await isThere()) !== true; stop += 1)
    await page.keyboard.press("Tab");
  const missed: unknown = await page.evaluate(`(() => {
    const name = (one) => one.outerHTML.slice(0, 100);
    const places = window.wanted.map((one) => window.walked.findIndex(({ target }) => target === one));
    return window.wanted.flatMap((one, at) => {
      if (places[at] < 0) return ["not reached by the keyboard: " + name(one)];
      if (places[at] < (places[at - 1] ?? -1)) return ["out of its order by the keyboard: " + name(one)];
      return window.walked[places[at]].isSeen ? [] : ["shows no focus: " + name(one)];
    });
  })()`);
  return Array.isArray(missed) ? missed.map(String) : ["the walk said nothing"];
}

/** Where a row is a card, the name of a line's column stands beside what the line says, and never under it. */
async function auditCards(page: Page): Promise<readonly string[]> {
  const found: unknown =
    await page.evaluate(`[...document.querySelectorAll(".table-wrap td")].flatMap((cell) => {
    const { left, width, content } = getComputedStyle(cell, "::before");
    if (!cell.checkVisibility() || content === "none") return cell.checkVisibility() ? ["phone: a line without a name"] : [];
    const isBeside = parseFloat(getComputedStyle(cell).paddingLeft) >= parseFloat(left) + parseFloat(width);
    return isBeside ? [] : ["phone: " + content + " lies under " + cell.textContent.slice(0, 40)];
  })`);
  return Array.isArray(found) ? found.map(String) : ["the cards said nothing"];
}

/**
 * Walks through a screen by the keyboard, looks at it in both themes, at 200 % zoom and on a phone, keeps pictures of it, and asks
 * axe-core about it in each theme.
 *
 * @throws Error with everything that was found.
 */
export async function inspect(page: Page, name: string, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const found: string[] = [...(await walkByKeyboard(page))];
  // The walk ended at the foot; a picture begins at the head.
  await page.evaluate("scrollTo(0, 0)");
  for (const theme of ["light", "dark"] as const) {
    await page.evaluate(`document.documentElement.setAttribute("data-theme", "${theme}")`);
    await page.screenshot({ path: join(folder, `${name}-${theme}.png`) });
    found.push(...(await auditAccessibility(page)).map((text) => `${theme}: ${text}`));
  }
  for (const [where, size] of [
    ["zoomed", ZOOMED],
    ["phone", PHONE],
  ] as const) {
    await page.setViewportSize(size);
    const overflow = Number(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"));
    if (overflow > 0) found.push(`${where}: the page is ${overflow} pixels too wide`);
  }
  found.push(...(await auditCards(page)));
  await page.screenshot({ path: join(folder, `${name}-phone.png`), fullPage: true });
  await page.evaluate('document.documentElement.setAttribute("data-theme", "light")');
  await page.screenshot({ path: join(folder, `${name}-phone-light.png`), fullPage: true });
  await page.setViewportSize(DESKTOP);
  if (found.length > 0) throw new Error(found.join("\n"));
}
