/** Servers that take turns notice that they lost the database before another has taken their place; none of them share it. */
import { expect, it } from "vitest";
import { ledgerSettings } from "./ledger/config.ts";
import { remoteStateOf, requireProtectedState, stateSettings } from "./state-config.ts";

const login = { host: "127.0.0.1", database: "warden", user: "warden" };
const objects = { endpoint: "http://127.0.0.1:9000", region: "eu-1", bucket: "warden" };
const ledger = ledgerSettings.parse({ storage: "postgres", postgres: login, objects });

function check(standby: boolean, statementTimeoutMs: number): void {
  const postgres = { ...login, sessionTimeoutMs: 4000, statementTimeoutMs };
  requireProtectedState(stateSettings.parse({ storage: "postgres", standby, postgres }), ledger);
}

it("refuses a statement's end that is later than half of the session's, where servers take turns", () => {
  expect(() => check(true, 2000)).not.toThrow();
  expect(() => check(true, 2001)).toThrow(
    expect.objectContaining({
      code: "config_invalid",
      details: expect.objectContaining({ setting: "state.postgres.statementTimeoutMs" }),
    }),
  );
  expect(() => check(false, 2001)).not.toThrow();
});

it("lets several servers write at once by `servers`, and by no other setting", () => {
  const many = stateSettings.parse({ storage: "postgres", servers: "many", postgres: login });
  expect(remoteStateOf(many)).toMatchObject({ isShared: true });
  for (const standby of [false, true]) {
    const state = stateSettings.parse({ storage: "postgres", standby, postgres: login });
    expect(remoteStateOf(state)).toMatchObject({ isShared: false, goesOn: !standby });
    for (const more of [{ shared: true }, { isShared: true }, { postgres: { ...login, isShared: true } }])
      expect(stateSettings.safeParse({ ...state, ...more }).success).toBe(false);
  }
});
