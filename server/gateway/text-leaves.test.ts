import { describe, expect, it } from "vitest";
import { TextLeaves } from "./text-leaves.ts";

describe("the text of an event without a known form", () => {
  it("is each string by its member, whatever the list that holds it", () => {
    const leaves = new TextLeaves();
    const parts = [{ text: "a" }, { text: "b" }, { data: { deep: ["c"] } }];
    const deltas = leaves.read({ result: { artifact: { artifactId: "1", parts }, append: true, size: 3 } });
    expect(deltas.map(({ channel, text }) => [channel, text])).toEqual([
      ["/result/artifact/artifactId", "1"],
      ["/result/artifact/parts/text", "a"],
      ["/result/artifact/parts/text", "b"],
      ["/result/artifact/parts/data/deep", "c"],
    ]);
  });

  it("that is no JSON is one place", () => {
    expect(new TextLeaves().read("words")).toEqual([{ channel: "", text: "words" }]);
  });

  it("of ever new members shares a place, and the first keep theirs", () => {
    const leaves = new TextLeaves();
    const channels = new Set<string | undefined>();
    for (let at = 0; at < 1000; at += 1) channels.add(leaves.read({ [`m${at}`]: "x" })[0]?.channel);
    expect(channels.size).toBe(129);
    expect(leaves.read({ m0: "x" })[0]?.channel).toBe("/m0");
  });

  it("nested without end is read to its end", () => {
    let value: object | string = "found";
    for (let depth = 0; depth < 60; depth += 1) value = { d: value };
    expect(new TextLeaves().read({ value } as never)[0]?.text).toBe("found");
  });
});
