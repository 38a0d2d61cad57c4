import { describe, expect, it } from "vitest";
import { parseControlGroup, parseProcessOwner } from "./proc-files.ts";
import { parseProcessStat } from "./process-stat.ts";

const HEX = "0123456789abcdef".repeat(4);
const OTHER = "f".repeat(64);
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "accepted";
  } catch (error) {
    return Object(error).code;
  }
};

describe("stat", () => {
  const TAIL = `S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654321 20 21`;

  it("counts its fields from the last bracket, whatever the program calls itself", () => {
    expect(parseProcessStat(`42 (node) ${TAIL}`)).toEqual({ state: "S", startTime: "987654321" });
    expect(parseProcessStat(`42 (a) R 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 () ${TAIL}`)).toEqual({
      state: "S",
      startTime: "987654321",
    });
    expect(parseProcessStat(`42 (line\nbreak)) ) ${TAIL}\n`)).toEqual({ state: "S", startTime: "987654321" });
  });

  it("refuses what the kernel does not write", () => {
    for (const text of ["", "42 (node", "42 (node) S 1 2", `42 (node) ${TAIL.replace("987654321", "-1")}`])
      expect(codeOf(() => parseProcessStat(text))).toBe("workload_unattested");
  });
});

describe("status", () => {
  it("gives the effective account and the groups", () => {
    const text = "Name:\tUid:\\t0\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\nGroups:\t4 27 \n";
    expect(parseProcessOwner(text)).toEqual({ uid: 1001, gid: 2, groups: [4, 27] });
    expect(parseProcessOwner(text.replace("4 27 ", " ")).groups).toEqual([]);
  });

  it("refuses a text without them", () => {
    expect(codeOf(() => parseProcessOwner("Uid:\t0\t0\t0\t0\n"))).toBe("workload_unattested");
    expect(codeOf(() => parseProcessOwner("Uid:\t0\nGid:\t0\t0\nGroups:\t\n"))).toBe("workload_unattested");
  });
});

describe("cgroup", () => {
  const CASES = [
    [
      "a service",
      "0::/system.slice/bank.service",
      { path: "/system.slice/bank.service", unit: "bank.service", containerId: undefined },
    ],
    ["docker", `0::/system.slice/docker-${HEX}.scope`, { unit: `docker-${HEX}.scope`, containerId: HEX }],
    ["docker without systemd", `0::/docker/${HEX}`, { unit: undefined, containerId: HEX }],
    ["kubernetes", `0::/kubepods/besteffort/pod1234/${HEX}`, { unit: undefined, containerId: HEX }],
    [
      "containerd with systemd",
      `0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-${HEX}.scope`,
      { unit: `cri-containerd-${HEX}.scope`, containerId: HEX },
    ],
    ["the outermost container", `0::/docker/${HEX}/docker/${OTHER}`, { unit: undefined, containerId: HEX }],
    [
      "no container that a user made below its own unit",
      `0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-${HEX}.scope`,
      { unit: "user@1000.service", containerId: undefined },
    ],
    [
      "no container that a service made below itself",
      `0::/system.slice/bank.service/docker-${HEX}.scope`,
      { unit: "bank.service", containerId: undefined },
    ],
    [
      "no group at the root, where anybody may be",
      "0::/",
      { path: undefined, unit: undefined, containerId: undefined },
    ],
    ["63 digits", `0::/docker/${HEX.slice(1)}`, { unit: undefined, containerId: undefined }],
    ["65 digits", `0::/docker/${HEX}0`, { unit: undefined, containerId: undefined }],
    ["upper case", `0::/docker/${HEX.toUpperCase()}`, { unit: undefined, containerId: undefined }],
    [
      "outside our view",
      `0::/../docker/${HEX}`,
      { path: undefined, unit: undefined, containerId: undefined },
    ],
  ] as const;
  it.each(CASES)("tells %s", (_name, text, expected) => {
    expect(parseControlGroup(`${text}\n`)).toMatchObject(expected);
  });

  it("reads version 1, where the lines must agree about the container", () => {
    const lines = (a: string, b: string) => `12:cpu,cpuacct:/docker/${a}\n1:name=systemd:/docker/${b}\n`;
    expect(parseControlGroup(lines(HEX, HEX))).toEqual({
      path: undefined,
      unit: undefined,
      containerId: HEX,
    });
    expect(parseControlGroup(lines(HEX, OTHER)).containerId).toBeUndefined();
  });
});
