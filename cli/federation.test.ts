/** `warden federation` and `warden bundle` against a real server, with another one to federate with. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, runWarden } from "./testing.ts";

const home = createHome();
const partnerHome = createHome();
const open = (directory: string, trustDomain: string) =>
  startServer(
    parseConfig({
      trustDomain,
      port: 0,
      stopPort: 0,
      logLevel: "silent",
      dataDir: join(directory, "data"),
      configDir: join(directory, "config"),
    }),
  );
let own: RunningServer;
let partner: RunningServer;

beforeAll(async () => {
  own = await open(home, "acme.test");
  partner = await open(partnerHome, "partner.test");
});
afterAll(() => Promise.all([own.close(), partner.close()]));

const warden = (directory: string, ...args: readonly string[]) =>
  runWarden(directory, [
    ...args,
    "--data",
    join(directory, "data"),
    "--config-dir",
    join(directory, "config"),
  ]);
const facts = async (...args: readonly string[]) => {
  const { stdout, exitCode } = await warden(home, ...args, "--json");
  return { exitCode, answer: JSON.parse(stdout) };
};

describe("warden federation", () => {
  const file = join(home, "partner.json");

  test("begins with a bundle, fetches the next from the endpoint, and ends with its removal", async () => {
    const { stdout: bundle } = await warden(partnerHome, "bundle", "show");
    writeFileSync(file, bundle);
    const created = await facts(
      ..."federation create partner.test --profile https_spiffe".split(" "),
      ...["--url", `${partner.url}/v1/bundle`, "--bundle", file],
      ...["--endpoint-spiffe-id", "spiffe://partner.test/spire/server"],
    );
    expect(created).toMatchObject({ exitCode: 0, answer: { sequence: 1, failure: "federation_untrusted" } });
    expect((await warden(home, "federation", "list")).stdout).toMatch(/partner\.test.*federation_untrusted/);
    const refused = await warden(home, "federation", "refresh", "partner.test");
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining("(federation_untrusted)"),
    ]);
    expect((await facts("bundle", "show", "partner.test")).answer).toEqual(JSON.parse(bundle));
    expect((await warden(home, "bundle", "list")).stdout).toMatch(/acme\.test[\s\S]*partner\.test/);
    expect((await facts("federation", "remove", "partner.test")).answer.epoch).toBeGreaterThan(0);
    expect((await facts("federation", "show", "partner.test")).answer.error.code).toBe("not_found");
  });

  test("takes a bundle by hand, and no older one afterwards", async () => {
    const set = await facts("bundle", "set", "partner.test", "--file", file);
    expect(set.answer).toMatchObject({ profile: null, url: null, sequence: 1 });
    writeFileSync(file, '{"keys":[],"spiffe_sequence":2}');
    expect((await facts("bundle", "set", "partner.test", "--file", file)).answer.x509_authorities).toBe(0);
    writeFileSync(file, '{"keys":[],"spiffe_sequence":1}');
    const older = await facts("bundle", "set", "partner.test", "--file", file);
    expect(older).toMatchObject({ exitCode: 1, answer: { error: { code: "federation_rollback" } } });
  });

  test("refuses words that are no trust domain, and a file that is not there", async () => {
    const codeOf = async (...args: readonly string[]) => (await facts(...args)).answer.error.code;
    expect(await codeOf("federation", "refresh", "../owners")).toBe("usage");
    expect(await codeOf("bundle", "set", "partner.test", "--file", join(home, "missing.json"))).toBe(
      "not_found",
    );
  });
});
