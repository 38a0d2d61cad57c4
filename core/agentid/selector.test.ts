import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatSelector,
  formatSelectors,
  matches,
  parseSelector,
  parseSelectors,
  requireStrongSelectors,
  SELECTOR_TYPES,
} from "./selector.ts";

const malformed = expect.objectContaining({ code: "selector_malformed" });
const tooWeak = expect.objectContaining({ code: "selectors_too_weak" });

describe("parseSelector", () => {
  it("splits at the first colon and keeps the rest as it is", () => {
    expect(parseSelector("unix:uid:1000")).toEqual({ type: "unix", value: "uid:1000" });
    expect(parseSelector("unix:path:/opt/My Agent/ü:x")).toEqual({
      type: "unix",
      value: "path:/opt/My Agent/ü:x",
    });
    expect(parseSelector("k8s: ns ")).toEqual({ type: "k8s", value: " ns " });
  });

  it.each([
    "",
    ":",
    ":x",
    "unix",
    "unix:",
    "UNIX:uid:0",
    "unix :uid:0",
    " unix:uid:0",
    "docker:x",
    "constructor:x",
  ])("refuses %j, which has no known type or no value", (text) => {
    expect(() => parseSelector(text)).toThrow(malformed);
  });

  it.each(["\n", "\0", "\t", "\u007f", "\u0085", "\u200b", "\u202e", "\u2028", "\ufeff", "\ud800"])(
    "refuses the unprintable character %j",
    (char) => {
      expect(() => parseSelector(`unix:path:/a${char}b`)).toThrow(malformed);
    },
  );

  it("takes 1,024 characters and refuses 1,025", () => {
    const longest = `unix:${"x".repeat(1019)}`;
    expect(parseSelector(longest).value).toHaveLength(1019);
    expect(() => parseSelector(`${longest}x`)).toThrow(malformed);
  });

  it("never folds two spellings of a letter into one", () => {
    const [composed, decomposed] = ["unix:user:é", "unix:user:e\u0301"].map(parseSelector);
    expect(matches(composed ? [composed] : [], decomposed ? [decomposed] : [])).toBe(false);
  });

  it("returns its input or refuses, whatever the input", () => {
    const types = fc.constantFrom(...SELECTOR_TYPES, "", "x");
    const texts = fc.tuple(types, fc.string({ unit: "binary" })).map(([type, value]) => `${type}:${value}`);
    fc.assert(
      fc.property(fc.oneof(texts, fc.string({ unit: "binary" })), (text) => {
        try {
          expect(formatSelector(parseSelector(text))).toBe(text);
        } catch (error) {
          expect(error).toEqual(malformed);
        }
      }),
    );
  });
});

describe("sets of selectors", () => {
  it("are sorted and hold each selector once", () => {
    const texts = ["unix:uid:2", "k8s:ns:b", "unix:uid:10", "k8s:ns:b"];
    expect(formatSelectors(parseSelectors(texts))).toEqual(["k8s:ns:b", "unix:uid:10", "unix:uid:2"]);
    expect(formatSelectors([...parseSelectors(texts), ...parseSelectors(texts)])).toHaveLength(3);
  });

  it("hold 64 and not 65", () => {
    const texts = Array.from({ length: 65 }, (_, index) => `unix:supplementary_gid:${index}`);
    expect(parseSelectors(texts.slice(1))).toHaveLength(64);
    expect(() => parseSelectors(texts)).toThrow(malformed);
  });

  it("are the same whatever the order they came in", () => {
    const texts = fc.array(
      fc.constantFrom("unix:uid:1", "unix:gid:1", "k8s:ns:a", "k8s:ns:\u{1f600}", "k8s:ns:\uffee"),
    );
    fc.assert(
      fc.property(texts, (given) => {
        expect(parseSelectors(given)).toEqual(parseSelectors([...given].reverse()));
      }),
    );
  });
});

describe("matches", () => {
  const workload = parseSelectors(["unix:uid:1000", "unix:gid:1000", "unix:path:/usr/bin/agent"]);

  it("needs every selector of the entry", () => {
    expect(matches(parseSelectors(["unix:uid:1000"]), workload)).toBe(true);
    expect(matches(parseSelectors(["unix:uid:1000", "unix:path:/usr/bin/agent"]), workload)).toBe(true);
    expect(matches(parseSelectors(["unix:uid:1000", "unix:uid:1001"]), workload)).toBe(false);
    expect(matches(parseSelectors(["unix:uid:1000"]), [])).toBe(false);
  });

  it("takes no part of a value for the whole, and no other type's value", () => {
    expect(matches(parseSelectors(["unix:uid:100"]), workload)).toBe(false);
    expect(matches(parseSelectors(["unix:uid:10000"]), workload)).toBe(false);
    expect(matches(parseSelectors(["systemd:uid:1000"]), workload)).toBe(false);
  });

  it("is nobody's for an entry that asks for nothing", () => {
    expect(matches([], workload)).toBe(false);
    expect(matches([], [])).toBe(false);
  });
});

describe("requireStrongSelectors", () => {
  it.each([
    ["unix:uid:1000"],
    ["unix:user:agent"],
    ["unix:cgroup:/system.slice/agent.service"],
    ["unix:uid:1000", "unix:path:/usr/bin/agent", "unix:sha256:00"],
    ["unix:path:/usr/bin/agent", "systemd:id:agent.service"],
    ["unix:sha256:00", "container:id:abc"],
    ["unix:path:/usr/bin/agent", "launcher:socket:x"],
    ["k8s:cluster:prod", "k8s:ns:pay", "k8s:sa:agent"],
    ["k8s:cluster:prod", "k8s:pod-uid:1"],
    ["github:repository_id:1", "github:ref:refs/heads/main"],
    ["github:repository_owner_id:1"],
    ["oidc:corp:sub:x"],
    ["aws:account:123456789012", "aws:region:eu-central-1"],
    ["aws:role:arn:aws:iam::123456789012:role/agent"],
    ["gcp:project_number:1"],
    ["azure:tenant_id:t"],
  ])("accepts %j", (...texts) => {
    expect(() => requireStrongSelectors(parseSelectors(texts))).not.toThrow();
  });

  it.each([
    [],
    ["unix:path:/usr/bin/agent"],
    ["unix:path:/usr/bin/agent", "unix:sha256:00"],
    ["unix:supplementary_gid:27"],
    ["unix:supplementary_group:sudo", "unix:path:/usr/bin/agent"],
    ["unix:gid:1000"],
    ["unix:path:/usr/bin/agent", "launcher:same_uid"],
    ["launcher:strength:same_uid"],
    ["composition:model:x"],
    ["node:host:a"],
    ["node:host:a", "unix:sha256:00"],
    ["aws:account:123456789012", "unix:path:/usr/bin/agent"],
    ["k8s:ns:pay", "k8s:sa:agent"],
    ["k8s:cluster:prod", "k8s:sa:default"],
    ["k8s:cluster:prod", "k8s:pod-name:agent-0"],
    ["github:repository:acme/pay", "github:ref:refs/heads/main"],
    ["aws:region:eu-central-1", "aws:image:ami-1"],
    ["gcp:zone:europe-west1-b", "gcp:instance_name:agent"],
    ["azure:location:westeurope"],
  ])("refuses %j", (...texts) => {
    expect(() => requireStrongSelectors(parseSelectors(texts))).toThrow(tooWeak);
  });

  it("says what is missing", () => {
    const reasonOf = (texts: readonly string[]) => {
      try {
        requireStrongSelectors(parseSelectors(texts));
      } catch (error) {
        return error instanceof Error && "details" in error ? error.details : undefined;
      }
      return undefined;
    };
    expect(reasonOf(["unix:sha256:00"])).toMatchObject({ reason: expect.stringContaining("unix:uid") });
    expect(reasonOf(["k8s:ns:pay"])).toMatchObject({ reason: expect.stringContaining("k8s:cluster") });
  });
});
