/** Notices over a real `nats-server`: heard by the others and by nobody else, lost without harm, and bounded whatever is sent. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { News } from "@trustwarden/core/notices.ts";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { openFaultyLink } from "../../test/support/faulty-link.ts";
import { HAS_NATS, startNats, type TestNats } from "../../test/support/nats.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import { sendThroughNats } from "../look-at-servers.ts";
import { natsSettings } from "./config.ts";
import { connectNats } from "./connect-nats.ts";
import { NatsNotices } from "./nats-notices.ts";

const PATIENT = { timeout: 20_000, interval: 10 };
/** Long enough for whatever is on its way over loopback. */
const QUIET_MS = 150;
const FLOOD = 5000;
const FLOOD_BYTES = 1024;

if (!HAS_NATS) process.stderr.write("SKIPPED: notices over NATS; install Debian's nats-server\n");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe.skipIf(!HAS_NATS)("notices over NATS", () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(() => nats.close());

  function open(change: object = {}) {
    const heard: News[] = [];
    const links: boolean[] = [];
    const notices = new NatsNotices({
      settings: natsSettings.parse({ ...nats.settings, ...change }),
      name: "test",
      onLink: (isLinked) => links.push(isLinked),
    });
    cleanups.push(() => notices.close());
    for (const news of ["state", "replicas", "appends"] as const) notices.watch(news, () => heard.push(news));
    return { notices, heard, links };
  }

  async function openPair(change: object = {}) {
    const [left, right] = [open(change), open(change)];
    await vi.waitFor(() => expect([left.links.at(-1), right.links.at(-1)]).toEqual([true, true]), PATIENT);
    await sleep(QUIET_MS);
    for (const { heard } of [left, right]) heard.length = 0;
    return { left, right };
  }

  test("come to the others, each kind to those who watch it, and not back", async () => {
    const { left, right } = await openPair();
    for (const [teller, listener] of [
      [left, right],
      [right, left],
    ] as const) {
      for (const news of ["state", "replicas"] as const) {
        teller.notices.tell(news);
        await vi.waitFor(() => expect(listener.heard).toEqual([news]), PATIENT);
        expect(teller.heard).toEqual([]);
        listener.heard.length = 0;
      }
    }
  });

  test("of appends are for the teller too, who may be the one that sequences", async () => {
    const { left, right } = await openPair();
    left.notices.tell("appends");
    expect(left.heard).toEqual(["appends"]);
    await vi.waitFor(() => expect(right.heard).toEqual(["appends"]), PATIENT);
  });

  test("come no more to who has ended to watch", async () => {
    const { left, right } = await openPair();
    const late: News[] = [];
    const end = right.notices.watch("state", () => late.push("state"));
    end();
    left.notices.tell("state");
    await vi.waitFor(() => expect(right.heard).toEqual(["state"]), PATIENT);
    expect(late).toEqual([]);
  });

  test("come through as far as `warden doctor` can see, or it says that they do not", async () => {
    const settings = natsSettings.parse(nats.settings);
    await sendThroughNats(settings);
    await expect(sendThroughNats({ ...settings, user: "stranger" })).rejects.toThrow();
    await expect(sendThroughNats({ ...settings, servers: ["localhost:1"] })).rejects.toThrow();
  });

  test("are gone with NATS, which both say, and come again with it, with a look at what was missed", async () => {
    const { left, right } = await openPair();
    await nats.stop();
    await vi.waitFor(
      () =>
        expect([left.links, right.links]).toEqual([
          [true, false],
          [true, false],
        ]),
      PATIENT,
    );
    expect(left.notices.isLinked).toBe(false);
    left.notices.tell("state");
    expect(right.heard).toEqual([]);
    await nats.start();
    await vi.waitFor(
      () => expect(new Set(right.heard)).toEqual(new Set(["state", "replicas", "appends"])),
      PATIENT,
    );
    await vi.waitFor(() => expect([left.links.at(-1), right.links.at(-1)]).toEqual([true, true]), PATIENT);
    right.heard.length = 0;
    left.notices.tell("state");
    await vi.waitFor(() => expect(right.heard).toEqual(["state"]), PATIENT);
  });

  test("are known to be gone when NATS says nothing any more", async () => {
    const link = await openFaultyLink(nats.port);
    cleanups.push(() => link.close());
    const { links } = open({ servers: [`localhost:${link.port}`] });
    await vi.waitFor(() => expect(links).toEqual([true]), PATIENT);
    link.part();
    await vi.waitFor(() => expect(links).toEqual([true, false]), PATIENT);
    link.heal();
    link.reset();
    await vi.waitFor(() => expect(links).toEqual([true, false, true]), PATIENT);
  });

  test("cost a bounded number of looks, whatever somebody with the login sends", async () => {
    const { heard } = (await openPair()).right;
    const hostile = await connectNats(natsSettings.parse(nats.settings), "hostile");
    cleanups.push(() => hostile.close());
    const fromMs = performance.now();
    for (let count = 0; count < FLOOD; count += 1)
      hostile.publish("trustwarden.test.state", new Uint8Array(FLOOD_BYTES));
    hostile.publish("trustwarden.test.unheard.of", new Uint8Array(FLOOD_BYTES));
    await hostile.flush();
    await sleep(QUIET_MS);
    const mostLooks = Math.ceil((performance.now() - fromMs) / 10) + 1;
    expect(heard.length).toBeGreaterThan(0);
    expect(heard.length).toBeLessThanOrEqual(mostLooks);
    expect(new Set(heard)).toEqual(new Set(["state"]));
  });

  test("are not to be had by another login, with another password, from another authority, or without TLS", async () => {
    const folder = join(nats.settings.passwordFile, "..");
    const wrong = join(folder, "wrong");
    writeFileSync(wrong, "another", { mode: 0o600 });
    const web = createWebCertificate();
    cleanups.push(() => web.remove());
    const caFile = join(folder, "other-ca.pem");
    writeFileSync(caFile, web.ca);
    const plain = await startNats({ hasTls: false });
    cleanups.push(() => plain.close());
    for (const change of [
      { user: "stranger" },
      { passwordFile: wrong },
      { tls: { caFile } },
      // It would take the password in the clear.
      { servers: plain.settings.servers, passwordFile: plain.settings.passwordFile },
    ]) {
      const { links } = open(change);
      await vi.waitFor(() => expect(links.length).toBeGreaterThan(0), PATIENT);
      await sleep(QUIET_MS);
      expect([change, links]).toEqual([change, [false]]);
    }
  });
});
