import { describe, expect, it } from "vitest";
import { basePathOf, originOf } from "./upstream.ts";

describe("the address of an upstream", () => {
  it.each([
    ["https://model.example", "https://model.example", ""],
    ["https://model.example/", "https://model.example", ""],
    ["https://model.example:443/v1", "https://model.example", "/v1"],
    ["http://127.0.0.1:8080/base/of/all", "http://127.0.0.1:8080", "/base/of/all"],
  ])("%s is at %s, and its paths are below '%s'", (url, origin, basePath) => {
    expect(originOf(url)).toBe(origin);
    expect(basePathOf(url)).toBe(basePath);
  });
});
