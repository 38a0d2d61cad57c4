/** The files of `deploy/` against the server: what dashboards and alarms ask for exists, and what units say is so. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../server/config.ts";
import { createFigures, familiesOf } from "../server/metrics/figures.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const read = (path: string) => readFileSync(new URL(`../deploy/${path}`, import.meta.url), "utf8");
/** Made by Prometheus itself. */
const OF_PROMETHEUS = ["up"];
/** Only where witnesses, or NATS, are configured. */
const SOMETIMES = ["trustwarden_ledger_witnessed_entries", "trustwarden_notices_linked"];

let server: TestServer;
let known: ReadonlySet<string>;
beforeAll(async () => {
  server = await startTestServer({ metrics: { port: 0 } });
  const page = await (await fetch(`${server.metricsUrl}/metrics`)).text();
  const shown = [...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");
  const counted = familiesOf(createFigures([])).map(({ name }) => name);
  known = new Set([...shown, ...counted, ...SOMETIMES, ...OF_PROMETHEUS]);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

/** Names of figures in a query, without what histograms add. */
function figuresIn(query: string): readonly string[] {
  const names = query.match(/\b(?:trustwarden|process|nodejs)_[a-z_]+|\bup\b/g) ?? [];
  return names.map((name) => name.replace(/_seconds_(?:bucket|sum|count)$/, "_seconds"));
}

function expectKnown(queries: readonly string[]): void {
  const asked = queries.flatMap(figuresIn);
  expect(asked.length).toBeGreaterThanOrEqual(queries.length);
  expect(asked.filter((name) => !known.has(name))).toEqual([]);
}

describe("deploy/", () => {
  it("has a dashboard whose every panel asks for figures that there are", () => {
    const queries = [...read("grafana/trustwarden.json").matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '""']) => String(JSON.parse(text)),
    );
    expect(queries.length).toBeGreaterThan(25);
    expectKnown(queries);
  });

  it("has alarms on figures that there are, each with what to do", () => {
    const rules = read("prometheus/alerts.yml");
    const queries = [...rules.matchAll(/^ +expr: (.+)$/gm)].map(([, query = ""]) => query);
    expect(queries.length).toBeGreaterThan(10);
    expectKnown(queries);
    expect(rules.match(/^ +action: .{10}/gm)?.length).toBe(queries.length);
  });

  it("shows every figure of the server somewhere on the dashboard", () => {
    const dashboard = read("grafana/trustwarden.json");
    const missing = [...known].filter(
      (name) =>
        !OF_PROMETHEUS.includes(name) && !dashboard.includes(name) && name !== "process_start_time_seconds",
    );
    expect(missing).toEqual([]);
  });

  it("keeps data and keys apart in every unit and in the image, and starts none of them as somebody else's program", () => {
    for (const unit of readdirSync(new URL("../deploy/systemd/", import.meta.url)).filter((name) =>
      name.endsWith(".service"),
    )) {
      const text = read(`systemd/${unit}`);
      const [, data] = /--data (\S+)/.exec(text) ?? [];
      const [, keys] = /--config-dir (\S+)/.exec(text) ?? [];
      expect(data).toMatch(/^\/var\/lib\//);
      expect(keys?.startsWith(`${data}/`)).toBe(false);
      expect(text).toContain("StateDirectoryMode=0700");
      expect(text).toContain("ExecStart=/opt/trustwarden/bin/node /opt/trustwarden/cli/main.ts");
    }
    const image = read("container/Containerfile");
    expect(image).toMatch(/^FROM scratch$/m);
    expect(image).toMatch(/^USER 65532:65532$/m);
    // The folders themselves, not what is in them: an empty volume belongs to whom its folder belongs.
    expect(image).toMatch(/^COPY --chown=65532:65532 var\/lib \/var\/lib$/m);
    const [, data = ""] = /TRUSTWARDEN_DATA_DIR=(\S+)/.exec(image) ?? [];
    const [, keys = ""] = /TRUSTWARDEN_CONFIG_DIR=(\S+)/.exec(image) ?? [];
    expect(keys.startsWith(`${data}/`)).toBe(false);
  });

  it("takes the keys that servers share out of the first, and lays them where there are none, for nobody else to read", () => {
    const script = fileURLToPath(new URL("../deploy/helm/trustwarden/files/keys.cjs", import.meta.url));
    const run = (place: { readonly dataDir: string; readonly configDir: string }, ...args: string[]) =>
      execFileSync(process.execPath, [script, ...args], {
        encoding: "utf8",
        env: { TRUSTWARDEN_DATA_DIR: place.dataDir, TRUSTWARDEN_CONFIG_DIR: place.configDir },
      });
    const files = (directory: string) =>
      readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => relative(directory, join(parentPath, name)))
        .toSorted();
    const root = mkdtempSync(join(tmpdir(), "tw-keys-"));
    try {
      const other = { dataDir: join(root, "state"), configDir: join(root, "config") };
      const shared = join(root, "files.json");
      mkdirSync(join(server.home.configDir, "owners"), { recursive: true });
      writeFileSync(join(server.home.configDir, "owners", "alice.pem"), "not to be spread");
      writeFileSync(shared, run(server.home, "out"));
      run(other, "in", shared);
      const [data, config] = [files(other.dataDir), files(other.configDir)];
      expect(data).toContain("trust-domain");
      expect(data.filter((path) => path !== "trust-domain")).toEqual(
        files(join(server.home.dataDir, "keys")).map((path) => join("keys", path)),
      );
      expect(config.filter((path) => path.endsWith(".unseal")).length).toBe(1);
      expect(config.filter((path) => /owners|high-water|state-seal|json$/.test(path))).toEqual([]);
      for (const path of data) {
        const [own, laid] = [join(server.home.dataDir, path), join(other.dataDir, path)];
        expect(readFileSync(laid)).toEqual(readFileSync(own));
        expect(statSync(laid).mode & 0o077).toBe(0);
      }
      // Who has keys keeps them; and nothing leaves the two directories.
      writeFileSync(shared, JSON.stringify({ "data/trust-domain": "", "data/keys/server.key": "" }));
      run(other, "in", shared);
      expect(readFileSync(join(other.dataDir, "trust-domain"), "utf8")).not.toBe("");
      rmSync(other.dataDir, { recursive: true });
      writeFileSync(shared, JSON.stringify({ "data/../outside": "" }));
      expect(() => run(other, "in", shared)).toThrow("not a file of ours");
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it("opens figures to a network only over TLS", () => {
    const tls = { certFile: "c", keyFile: "k", clientCaFile: "a" };
    const base = { dataDir: "/d", configDir: "/c", allowExternal: true };
    expect(parseConfig({ ...base, metrics: { host: "0.0.0.0", tls } }).metrics?.port).toBe(9464);
    expect(() => parseConfig({ ...base, metrics: { host: "0.0.0.0" } })).toThrow("bind_refused");
  });
});
