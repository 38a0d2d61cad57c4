import { describe, expect, it } from "vitest";
import { Counter, formatFamilies, Gauge, Histogram } from "./exposition.ts";

describe("figures", () => {
  it("count by labels, and a family without series says nothing", () => {
    const counter = new Counter({ name: "x_total", help: "What." }, { class: ["A", "B"] });
    expect(counter.format()).toBe("");
    counter.add({ class: "A" });
    counter.add({ class: "A" }, 2);
    counter.add({ class: "B" });
    expect(formatFamilies([counter])).toBe(
      '# HELP x_total What.\n# TYPE x_total counter\nx_total{class="A"} 3\nx_total{class="B"} 1\n',
    );
  });

  it("take no value that is not on the label's list, so that no caller makes a series", () => {
    const counter = new Counter({ name: "x_total", help: "What." }, { code: ["denied"] });
    counter.add({ code: "agt_01J0000000000000000000000A" });
    counter.add({ code: 'x"} 1\nforged{a="' });
    counter.add({ code: "denied" });
    expect(counter.format().split("\n").slice(2)).toEqual([
      'x_total{code="other"} 2',
      'x_total{code="denied"} 1',
      "",
    ]);
  });

  it("escape what a list itself holds", () => {
    const gauge = new Gauge({ name: "x", help: "One\\two\nthree." }, { of: ['a"b\\c'] });
    gauge.set({ of: 'a"b\\c' }, 0.5);
    expect(gauge.format()).toBe('# HELP x One\\\\two\\nthree.\n# TYPE x gauge\nx{of="a\\"b\\\\c"} 0.5\n');
  });

  it("put what is exactly a bound into its bucket, and what is above all bounds into the last", () => {
    const histogram = new Histogram({ name: "x_seconds", help: "Time.", bounds: [0.1, 1] }, {});
    for (const seconds of [0.1, 0.100001, 1, 5]) histogram.observe({}, seconds);
    expect(histogram.format().split("\n").slice(2)).toEqual([
      'x_seconds_bucket{le="0.1"} 1',
      'x_seconds_bucket{le="1"} 3',
      'x_seconds_bucket{le="+Inf"} 4',
      "x_seconds_sum 6.200001",
      "x_seconds_count 4",
      "",
    ]);
  });
});
