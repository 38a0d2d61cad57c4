import { TrustWardenError } from "@trustwarden/core/error.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatTree } from "./agent-tree.ts";
import { explainFailure, formatFailure } from "./failure.ts";
import { createOutput, formatTable, printable } from "./output.ts";

describe("text for a terminal", () => {
  test("never carries a control or direction-changing character, whatever a label holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
    expect(printable("pay\u001b[2Jment\u202eagent")).toBe("pay\ufffd[2Jment\ufffdagent");
  });

  test("shows rows under their header, or one sentence when there are none", () => {
    expect(formatTable(["A", "LONG"], [["xyz", "1"]], "none")).toEqual(["A    LONG", "xyz  1"]);
    expect(formatTable(["A"], [], "none")).toEqual(["none"]);
  });

  test("is replaced by one JSON document with --json", () => {
    let printed = "";
    const stdout = (text: string): void => {
      printed += text;
    };
    createOutput({ isJson: true, stdout, stderr: () => undefined }).show({ a: [1] }, ["a line"]);
    expect(JSON.parse(printed)).toEqual({ a: [1] });
  });
});

describe("the tree of agents", () => {
  const agent = (id: string, name: string, parent: string | null) => ({
    agent_id: id,
    path: "",
    name,
    owner_id: "own_1",
    parent_agent_id: parent,
    status: "live" as const,
    instances: [],
  });

  test("stands below the owner, children below their parent", () => {
    const lines = formatTree(
      [
        agent("agt_1", "orchestrator", null),
        agent("agt_2", "payment", "agt_1"),
        agent("agt_3", "fetcher", "agt_1"),
      ],
      new Map([["own_1", "alice"]]),
    );
    expect(lines).toEqual([
      "alice (own_1)",
      "└── orchestrator (agt_1) live, 0 instance(s)",
      "    ├── payment (agt_2) live, 0 instance(s)",
      "    └── fetcher (agt_3) live, 0 instance(s)",
    ]);
  });
});

describe("a failure", () => {
  test("with a counter-example says it in words", () => {
    const error = new TrustWardenError("scope_not_subset", { counterexample: "delete:transactions" });
    const text = formatFailure(explainFailure(error, "The child was not made."));
    expect(text).toContain("warden: The child was not made.");
    expect(text).toContain("the child could do delete:transactions and its parent could not");
    expect(text.trimEnd().split("\n")).toHaveLength(3);
  });

  test("that is a bug says so and still has three parts", () => {
    const failure = explainFailure(new Error("oops"), "It did not work.");
    expect(failure).toMatchObject({ code: "internal", what: "It did not work.", why: "oops", exitCode: 1 });
    expect(failure.next).not.toBe("");
  });
});
