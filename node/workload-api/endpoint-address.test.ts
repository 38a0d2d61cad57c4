import { describe, expect, it } from "vitest";
import { formatEndpointAddress, parseEndpointAddress } from "./endpoint-address.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "accepted";
  } catch (error) {
    return Object(error).code;
  }
};

describe("SPIFFE_ENDPOINT_SOCKET", () => {
  it("E-4 is unix:// and an absolute path, without an authority, query or fragment", () => {
    expect(formatEndpointAddress("/run/agent.sock")).toBe("unix:///run/agent.sock");
    expect(parseEndpointAddress("unix:///run/agent.sock")).toBe("/run/agent.sock");
    expect(parseEndpointAddress("/run/agent.sock")).toBe("/run/agent.sock");
    const refused = [
      "",
      "unix://run/agent.sock",
      "unix:/run/a",
      "agent.sock",
      "http:///a",
      "unix:///a?b",
      "unix:///a#b",
    ];
    for (const text of refused) expect(codeOf(() => parseEndpointAddress(text))).toBe("endpoint_malformed");
  });

  it("E-4 is never TCP here", () => {
    expect(codeOf(() => parseEndpointAddress("tcp://127.0.0.1:8000"))).toBe("endpoint_malformed");
  });

  it("holds a path of 107 bytes and no longer one", () => {
    expect(parseEndpointAddress(`/${"é".repeat(53)}`)).toHaveLength(54);
    expect(codeOf(() => parseEndpointAddress(`/${"é".repeat(53)}x`))).toBe("endpoint_malformed");
  });
});
