import { describe, expect, it } from "vitest";
import { formatCard } from "./card.ts";

const OURS = "https://gateway.test/echo/a2a";
const THEIRS = "https://agent.test/a2a";
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
      const card = formatCard({ ...WORDS, ...ways, securitySchemes: { oauth: { tokenUrl: THEIRS } } }, OURS);
      expect(JSON.stringify(card)).not.toContain("agent.test");
      expect(card).toMatchObject({ ...WORDS, supportedInterfaces: [{ url: OURS, protocolVersion }] });
      expect(card.security).toBeUndefined();
      expect(card.url).toBe("url" in ways ? OURS : undefined);
    },
  );

  it("promises no push, and a stream only where the agent has one", () => {
    const capabilities = { streaming: "yes", pushNotifications: true };
    expect(formatCard({ ...WORDS, capabilities }, OURS).capabilities).toEqual({
      streaming: false,
      pushNotifications: false,
    });
    expect(formatCard({ ...WORDS, capabilities: { streaming: true } }, OURS).capabilities).toMatchObject({
      streaming: true,
    });
  });
});
