import { describe, expect, it } from "vitest";
import { parseEndpointAddress } from "./endpoint-address.ts";

const malformed = expect.objectContaining({ code: "endpoint_malformed" });

describe("the address of the Workload API", () => {
  it("E-4 is an absolute unix path, or an IP address with a port", () => {
    expect(parseEndpointAddress("unix:///run/agent.sock")).toEqual({ kind: "unix", path: "/run/agent.sock" });
    expect(parseEndpointAddress(`unix:///${"a".repeat(106)}`)).toMatchObject({ kind: "unix" });
    expect(parseEndpointAddress("tcp://127.0.0.1:8000")).toEqual({
      kind: "tcp",
      host: "127.0.0.1",
      port: 8000,
    });
    expect(parseEndpointAddress("tcp://[::1]:65535")).toEqual({ kind: "tcp", host: "::1", port: 65_535 });
  });

  it.each([
    ["", "nothing"],
    ["/run/agent.sock", "no scheme"],
    ["unix://run/agent.sock", "an authority"],
    ["unix:run/agent.sock", "a relative path"],
    ["unix:///run/agent.sock?x", "a query"],
    ["unix:///run/agent.sock#f", "a fragment"],
    [`unix:///${"a".repeat(107)}`, "a path that no socket has"],
    ["tcp://localhost:8000", "a name"],
    ["tcp://127.0.0.1:8000/path", "a path"],
    ["tcp://127.0.0.1:0", "port 0"],
    ["tcp://127.0.0.1:65536", "port 65536"],
    ["tcp://127.0.0.1", "no port"],
    ["tcp://::1:8000", "IPv6 without brackets"],
    ["https://127.0.0.1:8000", "another scheme"],
  ])("E-4 refuses %s: %s", (text) => {
    expect(() => parseEndpointAddress(text)).toThrow(malformed);
  });
});
