/** What a person does in front of the console, in order; each step leaves the next one what it needs. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { AgentIdentity, verifyEvidence } from "trustwarden";
import { inspect } from "./browser.ts";
import { CLAIMS } from "./claims.ts";
import { press, write } from "./keyboard.ts";
import { ORGANIZATIONS } from "./organizations.ts";
import { PASTING } from "./pasting.ts";
import { PEOPLE } from "./people.ts";
import { PROVIDERS } from "./providers.ts";
import { READING } from "./reading.ts";
import { RESTORED } from "./restored.ts";
import { ask, go, heading, proven, refused, type Step, step } from "./step.ts";
import { TRYING } from "./trying.ts";
import { TWO_ADMINS } from "./two-admins.ts";
import { UPKEEP } from "./upkeep.ts";

const SOURCES = join(import.meta.dirname, "../src");

const COMING = [
  step("whoever has no session sees a door and nothing else", async ({ world, browser, pictures }) => {
    await browser.page.goto(world.origin);
    await heading(browser.page, "Sign in").waitFor();
    assert.equal(await browser.page.getByRole("navigation").count(), 0);
    await inspect(browser.page, "sign-in", pictures);
  }),
  step("the first admin comes in by a one-time link and a passkey", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await page.goto(`${world.origin}/app/welcome#${await world.link()}`);
    await heading(page, "Welcome").waitFor();
    await inspect(page, "welcome", pictures);
    await write(page.getByLabel("Your name, for others to see"), "Ada");
    await press(page.getByRole("button", { name: "Create a passkey and come in" }));
    await heading(page, "Now").waitFor();
    assert.ok(await page.getByText("Ada").isVisible());
  }),
  step("a session ends when a person signs out, and the passkey opens another", async ({ browser }) => {
    const { page } = browser;
    await press(page.getByRole("button", { name: "Sign out" }));
    await heading(page, "Sign in").waitFor();
    await press(page.getByRole("button", { name: "Use a passkey" }));
    await heading(page, "Now").waitFor();
  }),
];

const LOOKING = [
  step("decisions of agents appear while they are made", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await page.locator('[data-state="live"]').waitFor();
    await world.child.fetch(`${world.service.url}/docs/1`);
    await world.agent.fetch(`${world.service.url}/docs/2`, { method: "POST", body: "two" });
    const denied = await world.child.fetch(`${world.service.url}/docs/3`, { method: "POST", body: "no" });
    assert.equal(denied.ok, false);
    await page.getByRole("link", { name: "write:doc" }).first().waitFor();
    await page.getByText("denied", { exact: true }).last().waitFor();
    await page.getByRole("img", { name: /agents per owner; 50:1 is the alarm/ }).waitFor();
    await page.getByRole("img", { name: /^Agents per owner since/ }).waitFor();
    await inspect(page, "now", pictures);
  }),
  step("the tree leads from the owner to its agents and their children", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Agents");
    await press(page.getByRole("button", { name: "What is below alice" }));
    await press(page.getByRole("button", { name: "What is below orchestrator" }));
    await page.getByRole("link", { name: "reader", exact: true }).waitFor();
    await inspect(page, "agents", pictures);
    await write(page.getByPlaceholder("Name, or path/name"), "rea");
    await page.getByRole("heading", { name: "Found" }).waitFor();
    await press(page.getByRole("link", { name: "reader", exact: true }));
    await heading(page, "reader").waitFor();
  }),
  step(
    "an agent's page says who answers for it, what it may do and what it did",
    async ({ browser, pictures }) => {
      const { page } = browser;
      await page.getByRole("link", { name: "orchestrator" }).waitFor();
      await page.getByText("read:doc").first().waitFor();
      await page
        .getByRole("region", { name: "What it did" })
        .getByRole("link", { name: "read:doc" })
        .first()
        .waitFor();
      await write(page.getByLabel(/^What could it do with this/), "doc:7");
      await press(
        page.getByRole("form", { name: "Search what it could do" }).getByRole("button", { name: "Search" }),
      );
      await page.getByRole("list", { name: "Allowed now" }).getByText("read", { exact: true }).waitFor();
      const could = page.getByLabel(/^An action/);
      await write(could, "read:doc:7");
      await page.keyboard.press("Enter");
      await page.getByText("it could", { exact: true }).waitFor();
      await write(could, "delete:doc:7");
      await page.keyboard.press("Enter");
      await page.getByText("it could not", { exact: true }).waitFor();
      const taken = page.waitForEvent("download");
      await press(page.getByRole("link", { name: "Evidence" }));
      assert.equal((await taken).suggestedFilename(), "reader.twb");
      await inspect(page, "agent", pictures);
    },
  ),
  step("the ledger is searched, and a line leads to its proof", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Ledger");
    await press(page.getByText("Filters"));
    await write(page.getByLabel("Action"), "write:doc");
    await press(page.getByRole("button", { name: "Search" }));
    await page
      .getByRole("cell", { name: /write:doc/ })
      .first()
      .waitFor();
    assert.equal(await page.getByRole("cell", { name: /read:doc/ }).count(), 0);
    await inspect(page, "ledger", pictures);
    await press(page.getByRole("link", { name: "write:doc" }).first());
    await proven(page);
  }),
];

const FOLLOWING = [
  step(
    "a job is followed as a timeline, and its evidence is proven by whoever takes it along",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const { live, service, agent, child } = world;
      const job = "invoice-7";
      await agent.fetch(`${service.url}/docs/70`, { method: "POST", body: "begun", job });
      await child.fetch(`${service.url}/docs/70`, { job });
      // For whoever tries a policy about payments later.
      await agent.fetch(`${service.url}/docs/70/pay`, { method: "POST", body: "all of it" });
      await child.fetch(`${service.url}/docs/70`, { method: "POST", body: "no", job });
      await ask(page, agent.receipts.at(-2)?.receipt.event_id ?? "");
      await press(page.getByRole("link", { name: job, exact: true }));
      await heading(page, "Ledger").waitFor();
      const line = page.getByRole("list", { name: `What was done for ${job}` }).getByRole("listitem");
      // The ledger is searched a moment after it was written.
      for (let look = 0; look < 100 && (await line.count()) < 3; look += 1)
        await press(page.getByRole("button", { name: "Look again" }));
      await line.nth(2).waitFor();
      const [first = "", second = "", third = ""] = await line.allTextContents();
      assert.match(first, /orchestrator.*write:doc.*success/);
      assert.match(second, /reader.*read:doc.*success/);
      assert.match(third, /reader.*write:doc.*denied/);
      await inspect(page, "job", pictures);
      const taken = page.waitForEvent("download");
      await press(page.getByRole("link", { name: "Evidence" }));
      const bytes = readFileSync(await (await taken).path());
      const { log_vkey: vkey } = discovery.parse(await live.admin("GET", "/.well-known/trustwarden"));
      const bundle = JSON.stringify(await live.admin("GET", "/v1/bundle"));
      const { events } = verifyEvidence(bytes, { log: { vkey }, roots: { bundle } });
      assert.equal(events.filter(({ event }) => event.kind === "action").length, 3);
    },
  ),
];

const PROVING = [
  step(
    "the three questions are answered with a proof that this browser checked",
    async ({ browser, pictures }) => {
      const { page } = browser;
      for (const name of ["Which agent did this?", "Who authorized it?", "What stops it?"]) {
        await page.getByRole("heading", { name }).waitFor();
      }
      await page.getByText("Proven in this browser").waitFor();
      const custody = page.getByRole("list", { name: "From the human to the action" });
      await custody.getByText("orchestrator").waitFor();
      await custody.getByText("write:doc", { exact: true }).last().waitFor();
      await inspect(page, "question", pictures);
    },
  ),
  step(
    "one changed bit is refused, and the evidence as it came is proven again",
    async ({ browser, pictures }) => {
      const { page } = browser;
      await press(page.getByRole("button", { name: "Change one bit and check again" }));
      await refused(page);
      assert.equal(await page.getByRole("heading", { name: "Which agent did this?" }).count(), 0);
      await inspect(page, "question-refused", pictures);
      await press(page.getByRole("button", { name: "Check the evidence as it came" }));
      await proven(page);
    },
  ),
  step("a server that shows other records than it logged is refused", async ({ world, browser }) => {
    const { page } = browser;
    const receipt = world.agent.receipts.at(-1);
    assert.ok(receipt);
    const path = `/v1/evidence?event=${receipt.receipt.event_id}`;
    const shown: unknown = await page.evaluate(
      `fetch("${path}").then((answer) => answer.arrayBuffer()).then((bytes) => [...new Uint8Array(bytes)])`,
    );
    assert.ok(Array.isArray(shown));
    const body = Buffer.from(shown.map(Number));
    const at = body.indexOf('"payload":"') + 40;
    body[at] = body[at] === 65 ? 66 : 65;
    await page.route("**/v1/evidence?*", (route) => route.fulfill({ body, contentType: "application/zip" }));
    await ask(page, receipt.receipt.event_id);
    await refused(page);
    await page.unroute("**/v1/evidence?*");
  }),
  step(
    "a receipt, and an instance, lead to their records; a forged receipt does not",
    async ({ world, browser }) => {
      const { page } = browser;
      const kept = world.agent.receipts.at(-1);
      assert.ok(kept);
      await ask(page, formatReceiptHeader(kept.receipt));
      await page.getByText("The log's key promised this decision").waitFor();
      await proven(page);
      const forged = { ...kept.receipt, decision: kept.receipt.decision.replace("a", "b") };
      await ask(page, formatReceiptHeader(forged));
      await page.getByText("receipt_invalid").waitFor();
      await ask(page, world.child.instanceId);
      await proven(page);
    },
  ),
];

const ACTING = [
  step(
    "what waits for a human is shown, answered by the owner's key, and used once",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const url = `${world.service.url}/docs/7/delete`;
      const call = { method: "POST", body: "old" };
      const asked: unknown = await world.agent.fetch(url, call).catch((error: unknown) => error);
      assert.ok(asked instanceof TrustWardenError && asked.code === "approval_required");
      const id = String(asked.details.request);
      const waiting = world.agent.waitForApproval(id);
      // Whoever awaits it is told all the same; a step that fails before that must not end the run.
      waiting.catch(() => undefined);
      await go(page, "Approvals");
      await page.locator('[data-status="pending"]').waitFor();
      await inspect(page, "approvals", pictures);
      await world.live.answer(id, "approve");
      await world.agent.fetch(url, { ...call, approval: await waiting });
      await press(page.getByRole("button", { name: "Show all" }));
      await page.locator('[data-status="used"]').waitFor();
    },
  ),
  step(
    "an owner signs an agent's ticket by the passkey, and what the agent has to wait for",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      await go(page, "Agents");
      await write(page.getByLabel(/^Name/), "bookkeeper");
      await write(page.getByLabel(/^May do/), "read:doc write:doc delete:doc");
      await inspect(page, "new-agent", pictures);
      await press(page.getByRole("button", { name: "Sign with your passkey" }));
      await page.locator("[data-signed]").waitFor();
      const shown = (await page.locator("[data-signed] code").textContent()) ?? "";
      const ticket = shown.replace(/^TRUSTWARDEN_TICKET=/, "");
      const agent = await AgentIdentity.create({ name: "bookkeeper", ticket });
      const url = `${world.service.url}/docs/8/delete`;
      const call = { method: "POST", body: "old" };
      const asked: unknown = await agent.fetch(url, call).catch((error: unknown) => error);
      assert.ok(asked instanceof TrustWardenError && asked.code === "approval_required");
      const waiting = agent.waitForApproval(String(asked.details.request));
      waiting.catch(() => undefined);
      await go(page, "Approvals");
      await press(page.getByRole("button", { name: "Look again" }));
      await press(page.getByRole("button", { name: "Approve with your passkey" }));
      await agent.fetch(url, { ...call, approval: await waiting });
      await ask(page, agent.instanceId);
      await proven(page);
      await agent.close();
    },
  ),
  step("a stop is one clear step, measured, and holds", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await go(page, "Agents");
    await press(page.getByRole("button", { name: "What is below alice" }));
    await press(page.getByRole("link", { name: "orchestrator", exact: true }));
    await heading(page, "orchestrator").waitFor();
    await press(page.getByRole("button", { name: "Stop", exact: true }));
    await inspect(page, "stop", pictures);
    await press(page.getByRole("button", { name: "Stop it now" }));
    await page.locator("[data-stopped]").waitFor();
    await page.screenshot({ path: `${pictures}stopped.png` });
    for (const stopped of [world.agent, world.child]) {
      const isAnswered = await stopped.fetch(`${world.service.url}/docs/1`).then(
        ({ ok }) => ok,
        () => false,
      );
      assert.equal(isAnswered, false);
    }
    await press(page.getByRole("link", { name: "See the proof" }));
    await proven(page);
  }),
];

const REST = [
  ...["Policies", "People", "Secrets", "Settings"].map((name) =>
    step(`${name} is readable by everybody who may read it`, async ({ browser, pictures }) => {
      const { page } = browser;
      await go(page, name);
      await page.waitForLoadState("networkidle");
      assert.equal(await page.getByRole("alert").count(), 0);
      await inspect(page, name.toLowerCase(), pictures);
    }),
  ),
  step("the keyboard goes everywhere", async ({ browser }) => {
    const { page } = browser;
    await go(page, "Now");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate("document.activeElement.getAttribute('name')"), "q");
    await page.keyboard.press("Escape");
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await press(page.getByRole("dialog").getByRole("button"));
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await heading(page, "Ledger").waitFor();
  }),
  step("every form there is was filled in and sent by the keyboard alone", async ({ browser }) => {
    const { page } = browser;
    await go(page, "Agents");
    await write(page.getByLabel(/^Claim code/), "0000-0000-0000-0000");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("No agent waits under this code").waitFor();
    const sources = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".tsx"),
    );
    const written = sources.flatMap(
      (name) => readFileSync(join(SOURCES, name), "utf8").match(/<form\b/g) ?? [],
    );
    assert.ok(written.length > 10);
    assert.equal(browser.forms.size, written.length, [...browser.forms].join("\n"));
  }),
  step("what a script would put into the page is stopped, and told", async ({ browser }) => {
    const { page } = browser;
    // What a hole in the page would do; Trusted Types must not let it.
    const attempt = "document.createElement('div').innerHTML = '<img src=x onerror=alert(1)>'";
    const thrown = String(
      await page.evaluate(
        `(() => { try { ${attempt}; return ""; } catch (error) { return String(error); } })()`,
      ),
    );
    assert.match(thrown, /TrustedHTML|Trusted/);
    const faults: string[] = [];
    // The report comes by a message of its own, some turns later.
    for (let turn = 0; turn < 200 && faults.length === 0; turn += 1) {
      await page.evaluate("new Promise((resolve) => setTimeout(resolve))");
      faults.push(...browser.takeFaults());
    }
    assert.ok(
      faults.some((text) => text.includes("require-trusted-types-for")),
      faults.join("\n"),
    );
  }),
];

/** All of it. */
export const SCENARIO: readonly Step[] = [
  ...COMING,
  ...LOOKING,
  ...PROVING,
  ...FOLLOWING,
  ...PASTING,
  ...ACTING,
  ...CLAIMS,
  ...TWO_ADMINS,
  ...TRYING,
  ...UPKEEP,
  ...PEOPLE,
  ...PROVIDERS,
  ...ORGANIZATIONS,
  ...READING,
  ...REST,
  ...RESTORED,
];
