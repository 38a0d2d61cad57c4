/** Secrets go where they may and nowhere else, end when they are taken away, and are found when they come back. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../test/support/expect-code.ts";
import {
  createTestBroker,
  principalOf,
  settingsOf,
  type TestBroker,
  useOf,
  VALUE,
} from "./broker.test.support.ts";
import { SecretsBroker } from "./broker.ts";
import { openVersion } from "./envelope.ts";
import { bindingOf } from "./opened.ts";
import { parseSettings } from "./settings.ts";

let made: TestBroker;

beforeEach(async () => {
  made = createTestBroker();
  await made.broker.start();
});
afterEach(() => made.close());

describe("a use", () => {
  it("puts the secret on the request of an agent that is named, at the upstream that is named", async () => {
    await made.put("model-key");
    const injection = await made.broker.inject(useOf(made.agent()));
    expect(injection.headers).toEqual({ authorization: `Bearer ${VALUE}` });
    expect(injection.query).toEqual({});
  });

  it.each([
    ["an unknown secret", { secret: "other" }, "secret_unknown"],
    ["another upstream", { upstream: "other" }, "secret_not_allowed"],
    ["another origin under the upstream's name", { origin: "https://evil.test" }, "secret_not_allowed"],
  ] as const)("is refused for %s, and recorded", async (_, overrides, code) => {
    await made.put("model-key");
    const use = useOf(made.agent(), overrides);
    expectCode(() => made.broker.requireUsable(use), code);
    await expectRejection(made.broker.inject(use), code);
    expect(made.records).toMatchObject([
      { draft: { kind: "secret", allow: false, reasons: [code], subject: `secret:${use.secret}` } },
    ]);
  });

  it("is refused to an agent that is not named, and to everybody when nobody is", async () => {
    await made.put("model-key");
    await made.put("nobodys", VALUE, settingsOf({ agents: [] }));
    await expectRejection(made.broker.inject(useOf(made.agent("other"))), "secret_not_allowed");
    await expectRejection(
      made.broker.inject(useOf(made.agent("team", "second"), { secret: "nobodys" })),
      "secret_not_allowed",
    );
  });

  it("is refused to a named child of a parent that is not", async () => {
    await made.put("model-key", VALUE, settingsOf({ agents: ["agent:team/helper"] }));
    await made.put("family-key", VALUE, settingsOf({ agents: ["agent:team/*"] }));
    const parent = made.store.root(made.store.owner(), { path: "team", name: "parent" });
    const child = principalOf(made.store.child(parent, { path: "team", name: "helper" }));
    await expectRejection(made.broker.inject(useOf(child)), "secret_not_allowed");
    expect(
      (await made.broker.inject(useOf(child, { secret: "family-key" }))).headers.authorization,
    ).toContain(VALUE);
  });

  it("is open to all agents of a named owner", async () => {
    const agent = made.agent("anywhere");
    await made.put("model-key", VALUE, settingsOf({ agents: [`owner:${agent.ownerId}`] }));
    expect((await made.broker.inject(useOf(agent))).headers.authorization).toContain(VALUE);
  });
});

describe("an echo", () => {
  it("is masked, and raises one alarm when the call ends", async () => {
    await made.put("model-key");
    const agent = made.agent();
    const injection = await made.broker.inject(useOf(agent));
    const redactor = injection.redactor();
    const shown = redactor.headers({ "x-debug": `Bearer ${VALUE}` });
    const body = Buffer.concat([
      redactor.push(encodeUtf8(`{"key":"${VALUE.slice(0, 4)}`)),
      redactor.push(encodeUtf8(`${VALUE.slice(4)}"}`)),
      redactor.end(),
    ]);
    expect(`${shown["x-debug"]}${body}`).not.toContain(VALUE);
    await injection.release("success");
    expect(made.records).toMatchObject([
      {
        principal: agent.spiffeId,
        draft: {
          kind: "alarm",
          allow: false,
          reasons: ["secret_echoed"],
          subject: "secret:model-key",
          details: { echoes: 2 },
        },
      },
    ]);
  });

  it("of the version before is found during its grace", async () => {
    await made.put("model-key");
    await made.broker.administration.rotate(
      { name: "model-key", value: "sk-next-12345", graceSeconds: 60 },
      made.order(),
    );
    const injection = await made.broker.inject(useOf(made.agent()));
    expect(injection.headers.authorization).toBe("Bearer sk-next-12345");
    expect(injection.redactor().text(`old: ${VALUE}`)).not.toContain(VALUE);
  });

  it("of a login's refresh token is found, of the one that was shown and of the one that came for it", async () => {
    const answer = { access_token: "access-of-1", refresh_token: "refresh-of-1", token_type: "Bearer" };
    const openFetch = () => async () => ({ status: 200, body: encodeUtf8(JSON.stringify(answer)) });
    const broker = new SecretsBroker({ ...made.deps, openFetch });
    const endpoint = "https://login.example.test/token";
    const source = { token_endpoint: endpoint, grant: "login", client_auth: "none", client_id: "us" };
    const value = JSON.stringify({ refresh_token: "refresh-of-0" });
    const settings = parseSettings(settingsOf({ source }), "oauth");
    await broker.administration.put({ name: "model-key", kind: "oauth", settings, value }, made.order());
    const injection = await broker.inject(useOf(made.agent()));
    expect(injection.headers.authorization).toBe("Bearer access-of-1");
    const shown = { "x-a": "access-of-1", "x-b": "refresh-of-0", "x-c": "refresh-of-1" };
    expect(JSON.stringify(injection.redactor().headers(shown))).not.toMatch(/access-of|refresh-of/);
    broker.close();
  });

  it("that is none raises no alarm", async () => {
    await made.put("model-key");
    const injection = await made.broker.inject(useOf(made.agent()));
    injection.redactor().text("nothing here");
    await injection.release("success");
    expect(made.records).toEqual([]);
  });
});

describe("taking a secret away", () => {
  it.each(["disable", "delete"] as const)(
    "%ss it at once: calls under way end, none begins",
    async (change) => {
      await made.put("model-key");
      await made.put("other-key");
      const agent = made.agent();
      const injection = await made.broker.inject(useOf(agent));
      const other = await made.broker.inject(useOf(agent, { secret: "other-key" }));
      await made.broker.administration.stop("model-key", change, made.order());
      expect({ own: injection.signal.aborted, other: other.signal.aborted }).toEqual({
        own: true,
        other: false,
      });
      await expectRejection(
        made.broker.inject(useOf(agent)),
        change === "disable" ? "secret_disabled" : "secret_unknown",
      );
    },
  );

  it("can be undone by enabling, not after a deletion", async () => {
    await made.put("model-key");
    await made.broker.administration.stop("model-key", "disable", made.order());
    await made.broker.administration.enable("model-key", made.order());
    expect((await made.broker.inject(useOf(made.agent()))).signal.aborted).toBe(false);
    await made.broker.administration.stop("model-key", "delete", made.order());
    await expectRejection(made.broker.administration.enable("model-key", made.order()), "not_found");
  });
});

describe("a rotation", () => {
  it("destroys the version before when its grace is over, and at once without one", async () => {
    await made.put("model-key");
    const rotate = (value: string, graceSeconds: number) =>
      made.broker.administration.rotate({ name: "model-key", value, graceSeconds }, made.order());
    const versions = () => made.deps.reads.findSecret("model-key")?.versions.map(({ version }) => version);
    await rotate("sk-second-1", 60);
    expect(versions()).toEqual([2, 1]);
    made.clock.nowMs += 59_000;
    await made.broker.administration.expire(made.order());
    expect(versions()).toEqual([2, 1]);
    made.clock.nowMs += 1000;
    await made.broker.administration.expire(made.order());
    expect(versions()).toEqual([2]);
    await rotate("sk-third-11", 0);
    expect(versions()).toEqual([3]);
  });

  it("can be rolled back within the grace, as a new version, and not after it", async () => {
    await made.put("model-key");
    const rotate = { name: "model-key", value: "sk-broken-9", graceSeconds: 60 };
    await made.broker.administration.rotate(rotate, made.order());
    await made.broker.administration.rollback({ name: "model-key", graceSeconds: 0 }, made.order());
    expect((await made.broker.inject(useOf(made.agent()))).headers.authorization).toContain(VALUE);
    expect(made.deps.reads.findSecret("model-key")?.versions.map(({ version }) => version)).toEqual([3]);
    await expectRejection(
      made.broker.administration.rollback({ name: "model-key", graceSeconds: 0 }, made.order()),
      "secret_conflict",
    );
  });

  it("of the key-encryption key brings every version under the next one, and destroys the old one", async () => {
    for (const name of ["a", "b", "c"]) await made.put(name);
    const [old = ""] = made.keys.ids();
    const next = await made.broker.administration.beginKeyRotation();
    expect(made.broker.administration.keyProgress()).toMatchObject({ keyId: next, remaining: 3 });
    expect(await made.broker.administration.rewrap(made.order())).toMatchObject({
      keyId: next,
      remaining: 0,
      keys: [{ id: next, versions: 3, isHere: true }],
    });
    expect(made.keys.ids()).toEqual([next]);
    await made.broker.administration.bind("a", parseSettings(settingsOf(), "static"), made.order());
    expect((await made.broker.inject(useOf(made.agent(), { secret: "b" }))).headers.authorization).toContain(
      VALUE,
    );
    expect(next > old).toBe(true);
  });

  it("destroys no newer key, which somebody else has just begun a rotation with", async () => {
    await made.put("model-key");
    let newer = "";
    let follows = 0;
    const followKeys = async () => {
      follows += 1;
      if (follows === 3) newer = await made.keys.create();
    };
    const { administration } = new SecretsBroker({
      ...made.deps,
      shared: { followKeys, isTending: () => false },
    });
    const next = await administration.beginKeyRotation();
    await administration.rewrap(made.order());
    expect(made.keys.ids()).toEqual([next, newer]);
  });

  it("lets no new secret in under the old key that was sealed while the last one was brought under the next", async () => {
    await made.put("model-key");
    let isRotating = true;
    const { commands } = made.deps;
    const changeSecret: typeof commands.changeSecret = async (command) => {
      if (isRotating) {
        isRotating = false;
        await made.broker.administration.beginKeyRotation();
        await made.broker.administration.rewrap(made.order());
      }
      return commands.changeSecret(command);
    };
    const { administration } = new SecretsBroker({ ...made.deps, commands: { ...commands, changeSecret } });
    const settings = parseSettings(settingsOf(), "static");
    const secret = { name: "late", kind: "static", settings, value: VALUE } as const;
    await expectRejection(administration.put(secret, made.order()), "secret_conflict");
    await administration.put(secret, made.order());
    expect(
      (await made.broker.inject(useOf(made.agent(), { secret: "late" }))).headers.authorization,
    ).toContain(VALUE);
  });
});

describe("what is stored", () => {
  it("holds no value, and neither do events", async () => {
    await made.put("model-key");
    await made.broker.administration.rotate(
      { name: "model-key", value: "sk-second-1", graceSeconds: 60 },
      made.order(),
    );
    await made.plant("row", "cnry_planted-value");
    const forms = [VALUE, "sk-second-1", "cnry_planted-value"].flatMap((value) => [
      value,
      Buffer.from(value).toString("hex").toUpperCase(),
      Buffer.from(value).toString("base64").slice(0, -2),
    ]);
    const everything = `${JSON.stringify(made.store.dump())}${made.events.join("")}${made.events.map((event) => Buffer.from(String(JSON.parse(event).payload), "base64")).join("")}`;
    expect(everything).toContain("secret:model-key");
    for (const form of forms) expect(everything).not.toContain(form);
  });

  it("opens with its own binding only: secret, version, settings, deployment, trust domain", async () => {
    const state = await made.put("model-key");
    const [version] = state.versions;
    if (version === undefined) throw new Error("a version");
    const binding = bindingOf(state, made.deps);
    expect(await openVersion(version, binding, made.deps)).toBe(VALUE);
    const others = [
      { ...binding, name: "other" },
      { ...binding, secretId: "sec_other" },
      { ...binding, kind: "canary" },
      { ...binding, settings: binding.settings.replace("api.example.test", "evil.test") },
      { ...binding, deployment: `${binding.deployment}X` },
      { ...binding, trustDomain: "evil.test" },
    ];
    for (const other of others)
      await expectRejection(openVersion(version, other, made.deps), "secret_unavailable");
    await expectRejection(openVersion({ ...version, version: 2 }, binding, made.deps), "secret_unavailable");
    const altered = Uint8Array.from(version.ciphertext, (byte, index) => (index === 14 ? byte ^ 1 : byte));
    await expectRejection(
      openVersion({ ...version, ciphertext: altered }, binding, made.deps),
      "secret_unavailable",
    );
  });

  it("does not open for whoever widens it in the database, or moves a ciphertext to another row", async () => {
    await made.put("model-key");
    await made.put("other-key", "sk-other-value");
    const { database } = made.store;
    database.run(
      "UPDATE secrets SET settings = replace(settings, 'api.example.test', 'evil.test') WHERE name = ?",
      "model-key",
    );
    database.run(
      `UPDATE secret_versions SET (wrapped_key, ciphertext) =
         (SELECT wrapped_key, ciphertext FROM secret_versions WHERE name = 'model-key') WHERE name = ?`,
      "other-key",
    );
    const agent = made.agent();
    await expectRejection(
      made.broker.inject(useOf(agent, { origin: "https://evil.test" })),
      "secret_unavailable",
    );
    await expectRejection(made.broker.inject(useOf(agent, { secret: "other-key" })), "secret_unavailable");
  });

  it("does not open without its key-encryption key", async () => {
    await made.put("model-key");
    for (const id of made.keys.ids()) made.keys.remove(id);
    await expectRejection(made.broker.inject(useOf(made.agent())), "secret_unavailable");
    expect(made.broker.administration.keyProgress().keys).toMatchObject([{ versions: 1, isHere: false }]);
  });

  it("is gone from its page when a secret is deleted", async () => {
    const { versions } = await made.put("model-key");
    await made.broker.administration.stop("model-key", "delete", made.order());
    const dump = JSON.stringify(made.store.dump());
    expect(dump).not.toContain(
      Buffer.from(versions[0]?.ciphertext ?? [])
        .toString("hex")
        .toUpperCase(),
    );
  });
});

describe("changes at the same time", () => {
  it("do not seal against what another one changed", async () => {
    const { revision } = await made.put("model-key");
    const sealed = made.deps.reads.findSecret("model-key")?.versions[0];
    if (sealed === undefined) throw new Error("a version");
    await made.broker.administration.stop("model-key", "disable", made.order());
    const stale = {
      change: "rotate",
      name: "model-key",
      revision,
      sealed: { ...sealed, version: 2 },
      graceSeconds: 0,
    } as const;
    await expectRejection(made.deps.commands.changeSecret({ ...stale, ...made.order() }), "secret_conflict");
  });

  it("do not give one name to two secrets", async () => {
    await made.put("model-key");
    await expectRejection(made.put("model-key"), "secret_exists");
  });
});

describe("canaries", () => {
  it("are watched from the moment they are planted until they are disabled or deleted", async () => {
    expect(made.broker.canaries().find("x cnry_planted-value y")).toEqual([]);
    await made.plant("row", "cnry_planted-value");
    expect(made.broker.canaries().find("x cnry_planted-value y")).toEqual(["row"]);
    await made.broker.administration.stop("row", "disable", made.order());
    expect(made.broker.canaries().find("x cnry_planted-value y")).toEqual([]);
  });

  it("that cannot be opened stop everything rather than let it pass unseen", async () => {
    await made.plant("row", "cnry_planted-value");
    for (const id of made.keys.ids()) made.keys.remove(id);
    await made.broker.start();
    expectCode(() => made.broker.canaries(), "secret_unavailable");
  });

  it("are never put on a request", async () => {
    await made.plant("row", "cnry_planted-value");
    await expectRejection(made.broker.inject(useOf(made.agent(), { secret: "row" })), "secret_not_allowed");
  });

  it("that were found are in the ledger, with where and whose", async () => {
    const agent = made.agent();
    const finding = {
      names: ["row"],
      where: "request target",
      agent,
      eventId: useOf(agent).eventId,
      peer: "127.0.0.1",
    };
    await made.broker.reportCanary(finding);
    expect(made.records).toMatchObject([
      {
        draft: {
          kind: "alarm",
          reasons: ["canary_found"],
          details: { canaries: ["row"], where: "request target" },
        },
      },
    ]);
  });
});
