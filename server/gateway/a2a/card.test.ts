import type { JsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import { formatCard } from "./card.ts";

const OURS = "https://gateway.test/echo/a2a";
const THEIRS = "https://agent.test/a2a";
const SPOKEN = { url: OURS, binding: "JSONRPC" } as const;
const WORDS = { name: "echo", description: "Says it again.", skills: [{ id: "echo" }] };

describe("the card of an agent behind the gateway", () => {
  it.each([
    ["1.0", { supportedInterfaces: [{ url: THEIRS, protocolBinding: "GRPC", protocolVersion: "1.0" }] }],
    ["0.3", { supportedInterfaces: [{ url: THEIRS, protocolBinding: "JSONRPC", protocolVersion: "0.3.0" }] }],
    [
      "0.3",
      {
        url: THEIRS,
        preferredTransport: "GRPC",
        additionalInterfaces: [{ url: THEIRS, transport: "HTTP+JSON" }],
        security: [{ oauth: [] }],
        supportsAuthenticatedExtendedCard: true,
      },
    ],
  ])(
    "names no way to it but the gateway, and the version that it speaks, in the words of %s",
    (protocolVersion, ways) => {
      const card = formatCard(
        { ...WORDS, ...ways, securitySchemes: { oauth: { tokenUrl: THEIRS } } },
        SPOKEN,
      );
      expect(JSON.stringify(card)).not.toContain("agent.test");
      expect(card).toMatchObject({ ...WORDS, supportedInterfaces: [{ url: OURS, protocolVersion }] });
      expect(card.security).toBeUndefined();
      expect(card.url).toBe("url" in ways ? OURS : undefined);
    },
  );

  it("names the versions in which the gateway calls it: those of the binding that it is called by", () => {
    const one = (protocolBinding: string, protocolVersion: string) => ({
      url: THEIRS,
      protocolBinding,
      protocolVersion,
    });
    const both = [one("JSONRPC", "0.3"), one("HTTP+JSON", "1.0"), one("HTTP+JSON", "0.3")];
    const versionsIn = (binding: "JSONRPC" | "HTTP+JSON", ways: JsonObject) =>
      formatCard({ ...WORDS, ...ways }, { url: OURS, binding });
    expect(versionsIn("JSONRPC", { supportedInterfaces: both })).toMatchObject({
      supportedInterfaces: [{ protocolVersion: "0.3" }],
    });
    for (const ways of [{ supportedInterfaces: both }, { url: THEIRS, preferredTransport: "HTTP+JSON" }]) {
      const card = versionsIn("HTTP+JSON", ways);
      expect(card.supportedInterfaces).toEqual([
        { url: OURS, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      ]);
      // By this form a client of 0.3 would begin to speak 0.3.
      expect([card.url, card.preferredTransport]).toEqual([undefined, undefined]);
    }
  });

  it("promises no push, and a stream only where the agent has one", () => {
    const capabilities = { streaming: "yes", pushNotifications: true };
    expect(formatCard({ ...WORDS, capabilities }, SPOKEN).capabilities).toEqual({
      streaming: false,
      pushNotifications: false,
    });
    expect(formatCard({ ...WORDS, capabilities: { streaming: true } }, SPOKEN).capabilities).toMatchObject({
      streaming: true,
    });
  });
});
