/** The two adapters of `PolicyEngine`, by one shared contract, and then each by what only it does. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseActionName } from "@trustwarden/core/action.ts";
import { type DecideInput, decide, NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createBuiltinPolicy } from "./builtin.ts";
import { readingInput as reading } from "./reading-input.test.support.ts";
import { createWasmEngine } from "./wasm.ts";
import { createWorkerEngine, type WorkerEngine } from "./worker-engine.ts";

const policies = join(import.meta.dirname, "../../policies");
const wasmPath = join(policies, "decision.wasm");
const data = parseJsonObject(readFileSync(join(policies, "trustwarden/data.json"), "utf8"));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "engines-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

const operation: DecideInput = {
  principal: { kind: "operator" },
  action: parseActionName("create:owner"),
  resource: "trustwarden:owners",
  class: "A",
  plane: "control",
  chainScopes: [],
  view: { fresh: true, epoch: 7 },
  enforcement: "service",
  context: NO_CONTEXT,
};

/** What `opa_eval` of a hand-made policy does. */
const STALL = [0x03, 0x40, 0x0c, 0x00, 0x0b, 0x00];
const TRAP = [0x00];
const ANSWER_AT = 2048;
const ANSWER = [0x41, 0x80, 0x10];

/** A module with the interface of OPA's and the given body of `opa_eval`; the answer's text lies at `ANSWER_AT`. */
function handMadePolicy(body: readonly number[], answer = "[]"): Uint8Array {
  const text = (value: string): number[] => [value.length, ...Buffer.from(value)];
  const section = (id: number, ...items: readonly number[][]): number[] => {
    const content = [items.length, ...items.flat()];
    return [id, ...leb(content.length), ...content];
  };
  const i32 = 0x7f;
  const returns = (value: number): number[] => [0x41, ...signedLeb(value)];
  const code = (...instructions: readonly number[]): number[] => [
    ...leb(instructions.length + 2),
    0,
    ...instructions,
    0x0b,
  ];
  const datum = (at: number, value: string): number[] => [
    0,
    ...returns(at),
    0x0b,
    ...leb(value.length + 1),
    ...Buffer.from(value),
    0,
  ];
  const constant = (value: number): number[] => [i32, 0, ...returns(value), 0x0b];
  const names = [
    "builtins",
    "entrypoints",
    "opa_json_dump",
    "opa_malloc",
    "opa_json_parse",
    "opa_heap_ptr_get",
    "opa_heap_ptr_set",
    "opa_eval",
  ];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(
      1,
      [0x60, 0, 1, i32],
      [0x60, 1, i32, 1, i32],
      [0x60, 2, i32, i32, 1, i32],
      [0x60, 1, i32, 0],
      [0x60, 7, i32, i32, i32, i32, i32, i32, i32, 1, i32],
    ),
    ...section(2, [...text("env"), ...text("memory"), 2, 0, 1]),
    ...section(3, [0], [0], [1], [1], [2], [0], [3], [4]),
    ...section(6, constant(1), constant(3)),
    ...section(
      7,
      ...names.map((name, index) => [...text(name), 0, index]),
      [...text("opa_wasm_abi_version"), 3, 0],
      [...text("opa_wasm_abi_minor_version"), 3, 1],
    ),
    ...section(
      10,
      code(...returns(1024)),
      code(...returns(1536)),
      code(0x20, 0),
      code(...returns(65_536)),
      code(...returns(1)),
      code(...returns(131_072)),
      code(),
      code(...body),
    ),
    ...section(
      11,
      datum(1024, "{}"),
      datum(1536, '{"trustwarden/decision/result": 0}'),
      datum(ANSWER_AT, answer),
    ),
  ]);
}

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >> 7)];
}

function signedLeb(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signedLeb(value >> 7)];
}

function writePolicy(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const opened: WorkerEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function openWorker(options: Parameters<typeof createWorkerEngine>[0]): Promise<WorkerEngine> {
  const engine = await createWorkerEngine(options);
  opened.push(engine);
  return engine;
}

interface Given {
  readonly wasmPath: string;
  readonly data: JsonObject;
}

describe.each([
  ["in this process", async (given: Given): Promise<PolicyEngine> => createWasmEngine(given)],
  ["in a worker", (given: Given): Promise<PolicyEngine> => openWorker({ ...given, deadlineMs: 2_000 })],
] as const)("the built-in policy, evaluated %s", (_, create) => {
  it("answers and says which policy it is", async () => {
    const engine = await create({ wasmPath, data });
    expect(engine.policy.name).toBe("trustwarden-builtin-v1");
    expect(engine.policy.bundleSha256).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(engine.evaluate(reading)).toEqual({ allow: true, reasons: [], policy: "trustwarden-builtin-v1" });
    const stale = { ...reading, view: { fresh: false, epoch: 7 } };
    expect(engine.evaluate(stale)).toEqual({
      allow: false,
      reasons: ["view_stale"],
      policy: "trustwarden-builtin-v1",
    });
  });

  it("keeps nothing from one question to the next", async () => {
    const engine = await create({ wasmPath, data });
    for (let turn = 0; turn < 200; turn += 1) {
      const view = { fresh: turn % 2 === 0, epoch: turn };
      expect(engine.evaluate({ ...reading, view })).toMatchObject({ allow: view.fresh });
    }
  });

  it("names another digest for other data", async () => {
    const { policy } = data;
    const other = { policy: { ...Object(policy), forbidden: ["delete:transactions"] } };
    const engines = [
      await create({ wasmPath, data }),
      await create({ wasmPath, data: other }),
      await create({ wasmPath, data }),
    ];
    const [first, second, third] = engines.map((engine) => engine.policy.bundleSha256);
    expect(first).not.toBe(second);
    expect(first).toBe(third);
  });

  it("takes text in any language as text", async () => {
    const engine = await create({ wasmPath, data });
    const resource = '" } allow := true { é𝄞 data.policy';
    expect(engine.evaluate({ ...reading, resource, scope: { covered: false, links: 1 } })).toMatchObject({
      allow: false,
      reasons: ["scope_not_covered"],
    });
  });

  it("refuses a question of more than a mebibyte", async () => {
    const engine = await create({ wasmPath, data });
    expect(codeOf(() => engine.evaluate({ ...reading, resource: "x".repeat(1_048_576) }))).toBe(
      "request_too_large",
    );
    expect(engine.evaluate(reading)).toMatchObject({ allow: true });
  });

  it("makes a decision, together with `decide`", async () => {
    const engine = await create({ wasmPath, data });
    expect(decide(operation, engine)).toMatchObject({ effect: "allow", reasons: [], policy: engine.policy });
    expect(decide({ ...operation, action: parseActionName("renew:svid") }, engine).reasons).toEqual([
      "principal_not_permitted",
    ]);
  });

  it("denies when the rule is undefined, traps, or answers oddly", async () => {
    const undefinedRule = await create({
      wasmPath: writePolicy("undefined.wasm", handMadePolicy(ANSWER)),
      data,
    });
    expect(undefinedRule.evaluate(reading)).toBeOneOf([undefined, null]);
    const odd = handMadePolicy(
      ANSWER,
      '[{"result":{"allow":"yes","reasons":[],"policy":"trustwarden-builtin-v1"}}]',
    );
    for (const [name, bytes] of [
      ["undefined.wasm", handMadePolicy(ANSWER)],
      ["trap.wasm", handMadePolicy(TRAP)],
      ["odd.wasm", odd],
      ["broken.wasm", handMadePolicy(ANSWER, "{not json")],
    ] as const) {
      const engine = await create({ wasmPath: writePolicy(name, bytes), data });
      expect(decide(operation, engine).reasons, name).toEqual(["policy_unavailable"]);
      expect(decide(operation, engine).reasons, name).toEqual(["policy_unavailable"]);
    }
  });

  it("does not start without a module, with a broken one, or without its entrypoint", async () => {
    const broken = writePolicy("noise.wasm", Uint8Array.of(0, 0x61, 0x73, 0x6d, 9));
    for (const given of [
      { wasmPath: join(folder, "absent.wasm"), data },
      { wasmPath: broken, data },
      { wasmPath, data, entrypoint: "trustwarden/decision/allow" },
      { wasmPath, data, entrypoint: "__proto__" },
    ]) {
      await expect((async () => create(given))()).rejects.toMatchObject({ code: "policy_unavailable" });
    }
    await expect((async () => create({ wasmPath, data: {} }))()).rejects.toMatchObject({
      code: "policy_data_malformed",
    });
  });
});

describe("a policy that never ends", () => {
  const deadlineMs = 30;

  it("is stopped at the deadline, denied, and its worker replaced", async () => {
    const engine = await openWorker({
      wasmPath: writePolicy("stall.wasm", handMadePolicy(STALL)),
      data,
      deadlineMs,
    });
    expect(decide(operation, engine).reasons).toEqual(["policy_unavailable"]);
    expect(reasonOf(() => engine.evaluate(reading))).toBe("no worker");
    await expect.poll(() => reasonOf(() => engine.evaluate(reading)), { timeout: 10_000 }).toBe("deadline");
  });

  it("is not asked any more once the engine is closed", async () => {
    const engine = await openWorker({ wasmPath, data });
    await engine.close();
    expect(reasonOf(() => engine.evaluate(reading))).toBe("no worker");
    await engine.close();
  });

  function reasonOf(run: () => unknown): unknown {
    try {
      run();
    } catch (error) {
      return error instanceof TrustWardenError ? error.details.reason : error;
    }
    return "nothing was thrown";
  }
});

describe("the policy as it was built and checked in", () => {
  function copyPolicies(): string {
    const copy = mkdtempSync(join(folder, "policies-"));
    mkdirSync(join(copy, "trustwarden"));
    for (const name of ["decision.wasm", "decision.json", "trustwarden/data.json"]) {
      copyFileSync(join(policies, name), join(copy, name));
    }
    return copy;
  }

  it("is loaded with the classes that the guard uses", () => {
    const { engine, data: shared } = createBuiltinPolicy(copyPolicies());
    expect(engine.evaluate(reading)).toMatchObject({ allow: true });
    expect(shared.classes).toMatchObject({ read: "C", write: "B", delete: "A" });
  });

  it("does not start when one byte of the module differs from the manifest", () => {
    const copy = copyPolicies();
    const bytes = readFileSync(join(copy, "decision.wasm"));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(join(copy, "decision.wasm"), bytes);
    expect(codeOf(() => createBuiltinPolicy(copy))).toBe("policy_tampered");
  });

  it("does not start when a part is missing or is not what it should be", () => {
    for (const name of ["decision.wasm", "decision.json", "trustwarden/data.json"]) {
      const copy = copyPolicies();
      rmSync(join(copy, name));
      expect(
        codeOf(() => createBuiltinPolicy(copy)),
        name,
      ).toBe("policy_unavailable");
    }
    const copy = copyPolicies();
    writeFileSync(join(copy, "trustwarden/data.json"), '{"policy": {"forbidden": []}}');
    expect(codeOf(() => createBuiltinPolicy(copy))).toBe("policy_data_malformed");
  });
});
