/** Where a ledger may be kept, and what is not taken as an answer. */
import { expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { parseConfig } from "../config.ts";

const directories = { dataDir: "/tmp/data", configDir: "/tmp/config" };
const postgres = { host: "127.0.0.1", database: "warden", user: "warden" };
const objects = {
  endpoint: "https://s3.eu-central-1.amazonaws.com",
  region: "eu-central-1",
  bucket: "ledgers",
};
const tls = { caFile: "/etc/ssl/db.pem" };

function ledgerOf(changed: { readonly postgres?: object; readonly objects?: object }) {
  const ledger = {
    storage: "postgres",
    postgres: { ...postgres, ...changed.postgres },
    objects: { ...objects, ...changed.objects },
  };
  return parseConfig({ ...directories, ledger }).ledger;
}

it("is this machine's disk unless the configuration says otherwise", () => {
  expect(parseConfig(directories).ledger).toEqual({ storage: "posix", shards: "quarterly" });
  expect(ledgerOf({})).toMatchObject({
    postgres: { port: 5432, sessionTimeoutMs: 30_000 },
    objects: { prefix: "", retryForMs: 60_000 },
  });
});

it("is beyond this machine only behind TLS", () => {
  for (const host of ["db.example", "10.0.0.5", "::2"]) {
    expectCode(() => ledgerOf({ postgres: { host } }), "config_invalid");
    ledgerOf({ postgres: { host, tls } });
  }
  for (const host of ["localhost", "::1", "/run/postgresql"]) ledgerOf({ postgres: { host } });
  for (const endpoint of [
    "http://s3.example",
    "http://10.0.0.5:9000",
    "https://s3.example/path",
    "s3.example",
  ])
    expectCode(() => ledgerOf({ objects: { endpoint } }), "config_invalid");
  ledgerOf({ objects: { endpoint: "http://127.0.0.1:9000" } });
});

it("has no password in a setting, no key without its certificate, and a prefix that needs no encoding", () => {
  expectCode(() => ledgerOf({ postgres: { password: "hunter2" } }), "config_invalid");
  expectCode(() => ledgerOf({ postgres: { tls: { ...tls, keyFile: "/k" } } }), "config_invalid");
  expectCode(() => ledgerOf({ objects: { secretAccessKey: "x" } }), "config_invalid");
  for (const prefix of ["acme", "../", "a//", "A b/", "/"])
    expectCode(() => ledgerOf({ objects: { prefix } }), "config_invalid");
  ledgerOf({ objects: { prefix: "acme/2026/" } });
});
