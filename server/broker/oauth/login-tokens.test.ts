/** A login outlives the replacement of its refresh token, whoever asks at the same time and whatever changes meanwhile. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../../test/support/expect-code.ts";
import { type Login, LoginTokens, unrenewed } from "./login-tokens.ts";
import { formatLoginValue, type LoginValue, parseLoginValue } from "./login-value.ts";

const NOTHING = { refreshToken: null, accessToken: null, expiresAt: null, clientSecret: null };
const FIRST = { ...NOTHING, refreshToken: "refresh-token-0" } satisfies LoginValue;

/** An authorization server that replaces refresh tokens and ends the login when an old one is shown. */
function createWorld({ isReplacing = true } = {}) {
  const world = {
    nowMs: 0,
    revision: 1,
    kept: FIRST as LoginValue,
    asked: 0,
    current: FIRST.refreshToken,
    isEnded: false,
  };
  const tokens = new LoginTokens(() => world.nowMs);
  const login: Login = {
    secretId: "sec_1",
    read: async () => ({ revision: world.revision, value: world.kept }),
    renew: async ({ refreshToken }) => {
      world.asked += 1;
      if (refreshToken !== world.current) world.isEnded = true;
      if (world.isEnded) throw new TrustWardenError("secret_unavailable", { reason: "refused" });
      const serial = world.asked;
      if (isReplacing) world.current = `refresh-token-${serial}`;
      return {
        token: `access-token-${serial}`,
        usableUntilMs: world.nowMs + 100,
        refreshToken: isReplacing ? world.current : null,
      };
    },
    keep: async (value, revision) => {
      if (revision !== world.revision) throw new TrustWardenError("secret_conflict");
      world.kept = value;
      world.revision += 1;
      tokens.forget("sec_1");
    },
  };
  return { world, tokens, login };
}

describe("a login", () => {
  it("gives one token to all who ask, and the refresh token that came is kept before it is used", async () => {
    const { world, tokens, login } = createWorld();
    const got = await Promise.all([tokens.get(login), tokens.get(login), tokens.get(login)]);
    expect(got.map(({ token }) => token)).toEqual(Array(3).fill("access-token-1"));
    expect(world.kept.refreshToken).toBe("refresh-token-1");
    await tokens.get(login);
    expect(world.asked).toBe(1);
  });

  it("is renewed with what is kept by then, again and again", async () => {
    const { world, tokens, login } = createWorld();
    for (let turn = 1; turn < 5; turn += 1) {
      const got = await Promise.all([tokens.get(login), tokens.get(login)]);
      expect(got.map(({ token }) => token)).toEqual(Array(2).fill(`access-token-${turn}`));
      world.nowMs += 100;
    }
    expect(world).toMatchObject({ isEnded: false, asked: 4 });
  });

  it("changes nothing where the refresh token stays", async () => {
    const { world, tokens, login } = createWorld({ isReplacing: false });
    await tokens.get(login);
    world.nowMs += 100;
    await tokens.get(login);
    expect(world).toMatchObject({ asked: 2, revision: 1, kept: FIRST });
  });

  it("is kept beside a change of its scope that came meanwhile", async () => {
    const { world, tokens, login } = createWorld();
    const renew: Login["renew"] = async (value) => {
      const renewed = await login.renew(value);
      world.revision += 1;
      tokens.forget("sec_1");
      return renewed;
    };
    await tokens.get({ ...login, renew });
    expect(world.kept.refreshToken).toBe("refresh-token-1");
    await tokens.get(login);
    expect(world).toMatchObject({ isEnded: false, asked: 2 });
  });

  it("does not take the place of a new login, nor is its token used then", async () => {
    const { world, tokens, login } = createWorld();
    const renew: Login["renew"] = async (value) => {
      const renewed = await login.renew(value);
      world.revision += 1;
      world.kept = { ...FIRST, refreshToken: "of-the-new-login" };
      world.current = "of-the-new-login";
      tokens.forget("sec_1");
      return renewed;
    };
    await expectRejection(tokens.get({ ...login, renew }), "secret_conflict");
    expect(world.kept.refreshToken).toBe("of-the-new-login");
    expect((await tokens.get(login)).token).toBe("access-token-2");
  });

  it("whose refresh token stays is not used in the place of a new login either", async () => {
    const { world, tokens, login } = createWorld({ isReplacing: false });
    const renew: Login["renew"] = async (value) => {
      const renewed = await login.renew(value);
      world.revision += 1;
      world.kept = { ...FIRST, refreshToken: "of-the-new-login" };
      tokens.forget("sec_1");
      return renewed;
    };
    await expectRejection(tokens.get({ ...login, renew }), "secret_conflict");
  });

  it("is forgotten for a new login that comes right behind its own renewal", async () => {
    const { world, tokens, login } = createWorld();
    const keep: Login["keep"] = async (value, revision) => {
      await login.keep(value, revision);
      world.revision += 1;
      world.kept = { ...FIRST, refreshToken: "of-the-new-login" };
      world.current = "of-the-new-login";
      tokens.forget("sec_1");
    };
    await tokens.get({ ...login, keep }).catch(() => undefined);
    expect((await tokens.get(login)).token).toBe("access-token-2");
  });

  it("that could not be kept gives no token, and the next call asks again", async () => {
    const { world, tokens, login } = createWorld({ isReplacing: true });
    const keep: Login["keep"] = () => Promise.reject(new TrustWardenError("secret_unavailable"));
    await expectRejection(tokens.get({ ...login, keep }), "secret_unavailable");
    await expectRejection(tokens.get(login), "secret_unavailable");
    expect(world).toMatchObject({ asked: 2, isEnded: true });
  });
});

describe("a login that cannot be renewed", () => {
  const at = (seconds: number) => ({ nowMs: () => seconds * 1000, monoMs: () => 5 });

  it("is used while it lasts, and looked at again every minute", () => {
    const value = { ...NOTHING, accessToken: "access-token-0", expiresAt: 1000 };
    expect(unrenewed(value, at(900)).usableUntilMs).toBe(60_005);
    expect(unrenewed(value, at(990)).usableUntilMs).toBe(10_005);
    expect(unrenewed({ ...value, expiresAt: null }, at(9000)).token).toBe("access-token-0");
    expectCode(() => unrenewed(value, at(1000)), "secret_unavailable");
  });
});

describe("the value of a login", () => {
  it("is read as it was written", () => {
    for (const value of [
      FIRST,
      { ...FIRST, clientSecret: "s3cret-of-us" },
      { ...NOTHING, accessToken: "access-token-0", expiresAt: 1_800_000_000 },
      { ...NOTHING, accessToken: "access-token-0" },
    ])
      expect(parseLoginValue(formatLoginValue(value))).toEqual(value);
  });

  it.each([
    "",
    "x",
    "{}",
    '{"refresh_token":"short"}',
    '{"refresh_token":"refresh-token-0","more":"refused"}',
  ])("is refused, without being quoted: %s", (value) => {
    expectCode(() => parseLoginValue(value), "secret_malformed");
  });
});
