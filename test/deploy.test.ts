/** The files of `deploy/` against the server: what dashboards and alarms ask for exists, and what units say is so. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../server/config.ts";
import { createFigures, familiesOf } from "../server/metrics/figures.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const read = (path: string) => readFileSync(new URL(`../deploy/${path}`, import.meta.url), "utf8");
/** Made by Prometheus itself. */
const OF_PROMETHEUS = ["up"];
/** Only where witnesses are configured. */
const SOMETIMES = ["trustwarden_ledger_witnessed_entries"];

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
    const [, data = ""] = /TRUSTWARDEN_DATA_DIR=(\S+)/.exec(image) ?? [];
    const [, keys = ""] = /TRUSTWARDEN_CONFIG_DIR=(\S+)/.exec(image) ?? [];
    expect(keys.startsWith(`${data}/`)).toBe(false);
  });

  it("opens figures to a network only over TLS", () => {
    const tls = { certFile: "c", keyFile: "k", clientCaFile: "a" };
    const base = { dataDir: "/d", configDir: "/c", allowExternal: true };
    expect(parseConfig({ ...base, metrics: { host: "0.0.0.0", tls } }).metrics?.port).toBe(9464);
    expect(() => parseConfig({ ...base, metrics: { host: "0.0.0.0" } })).toThrow("bind_refused");
  });
});
