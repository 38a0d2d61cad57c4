import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanEnvironment } from "./environment.ts";

const clean = (environment: Record<string, string>, keep: readonly string[] = []) =>
  cleanEnvironment(environment, { keep });

describe("the environment of a launched process", () => {
  it("keeps what opens nothing", () => {
    const harmless = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/bin:/bin",
      HOME: "/home/alice",
      PWD: "/srv/app",
      LANG: "en_US.UTF-8",
      TERM: "xterm-256color",
      NODE_OPTIONS: "--max-old-space-size=4096",
      GIT_COMMIT: "3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
      LS_COLORS: "rs=0:di=01;34:ln=01;36:mh=00:pi=40;33",
      MONKEY: "banana",
      DATABASE_URL: "postgres://db.internal:5432/app",
      HTTPS_PROXY: "http://proxy.internal:3128",
      JAVA_HOME: "/usr/lib/jvm/java-17-openjdk-amd64",
    };
    expect(clean(harmless)).toEqual({ variables: harmless, removed: [], kept: [] });
  });

  it.each([
    ["OPENAI_API_KEY", "x"],
    ["AWS_SECRET_ACCESS_KEY", "x"],
    ["GITHUB_TOKEN", "x"],
    ["db_password", "x"],
    ["MYSQL_PWD", "x"],
    ["SSH_AUTH_SOCK", "/tmp/agent.1"],
    ["KUBECONFIG", "/root/.kube/config"],
    ["SENTRY_DSN", "x"],
  ])("leaves %s behind for its name", (name, value) => {
    expect(clean({ [name]: value }).removed).toEqual([{ name, reason: "name" }]);
  });

  it.each([
    ["a vendor's prefix", `sk-ant-${"a1".repeat(20)}`],
    ["a GitHub token", `ghp_${"A1b2".repeat(9)}`],
    ["a cloud access key id", "AKIAIOSFODNN7EXAMPLE"],
    ["a JWT", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"],
    ["a private key", "-----BEGIN EC PRIVATE KEY-----\nMHc"],
    ["a password in a URL", "postgres://app:hunter2@db.internal/app"],
    ["a ticket of ours", `tw1.${"ab".repeat(40)}`],
    ["a key among other words", `--header=X-Auth:sk_live_${"a1B2".repeat(6)}`],
  ])("leaves a value behind that is %s", (_what, value) => {
    expect(clean({ SETTING: value })).toEqual({
      variables: {},
      removed: [{ name: "SETTING", reason: "value" }],
      kept: [],
    });
  });

  it("leaves 32 random bytes behind however they are encoded with letters and digits", () => {
    for (let round = 0; round < 200; round += 1) {
      for (const encoding of ["base64", "base64url"] as const) {
        const value = createHash("sha256").update(`${round}`).digest(encoding);
        expect(clean({ SETTING: value }).removed, value).toHaveLength(1);
      }
    }
  });

  it("never passes on what is TrustWarden's own, not even when asked", () => {
    const own = { TRUSTWARDEN_TICKET: "tw1.x", TW_WEAKEN: "x", SPIFFE_ENDPOINT_SOCKET: "unix:///other" };
    const { variables, removed } = clean(own, Object.keys(own));
    expect(variables).toEqual({});
    expect(removed.map(({ reason }) => reason)).toEqual(["own", "own", "own"]);
  });

  it("passes on what was asked for by name, and says so", () => {
    expect(clean({ GITHUB_TOKEN: "x", OTHER_TOKEN: "y" }, ["GITHUB_TOKEN"])).toEqual({
      variables: { GITHUB_TOKEN: "x" },
      removed: [{ name: "OTHER_TOKEN", reason: "name" }],
      kept: ["GITHUB_TOKEN"],
    });
  });

  it("sorts every variable into exactly one heap and shows no value in its report", () => {
    const name = fc.string({ minLength: 1, maxLength: 40 }).filter((text) => text !== "__proto__");
    fc.assert(
      fc.property(fc.dictionary(name, fc.string({ maxLength: 200 })), (environment) => {
        const { variables, removed } = clean(environment);
        const sorted = [...Object.keys(variables), ...removed.map((entry) => entry.name)].sort();
        expect(sorted).toEqual(Object.keys(environment).sort());
        expect(removed.every((entry) => Object.keys(entry).join() === "name,reason")).toBe(true);
      }),
    );
  });
});
