import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  formatSubmission,
  parseTlogSize,
  type Submission,
} from "@trustwarden/core/agentledger/add-checkpoint.ts";
import { issueCheckpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyWitnessedCheckpoint } from "@trustwarden/core/agentledger/cosignature.ts";
import {
  createHistory,
  HISTORY_ORIGIN,
  HISTORY_VKEY,
} from "@trustwarden/core/agentledger/history.test.support.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import { shardOrigin, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  parseVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import {
  decideSubmission,
  readSubmission,
  type WitnessedLog,
} from "@trustwarden/core/agentledger/witness.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { witnessSettings } from "./config.ts";
import { openWitnessing } from "./create.ts";
import { WitnessFollower } from "./follower.ts";
import { requireNewest } from "./require-newest.ts";
import type { WitnessClient } from "./witness-client.ts";
import { type WitnessEvent, Witnessing } from "./witnessing.ts";
import { absentFrom } from "./would-follow.ts";

const NAMES = ["a", "b", "c"] as const;
const signers = NAMES.map((name, index) =>
  createNoteSigner({
    name: `${name}.test/w`,
    signer: createTestLogSigner(31 + index),
    algorithm: ALGORITHM_COSIGNATURE,
  }),
);
const vkeys = signers.map(({ name, signer }) =>
  formatVkey(name, rawEd25519Key(signer.publicKey), ALGORITHM_COSIGNATURE),
);
const policyText = [
  `log ${HISTORY_VKEY}`,
  ...NAMES.map((name, index) => `witness ${name} ${vkeys[index]} http://${name}.test`),
  "group most 2 a b c",
  "quorum most",
  "",
].join("\n");
const policy = parseTlogPolicy(policyText);
const logs = new Map([[HISTORY_ORIGIN, { vkey: HISTORY_VKEY, key: parseVkey(HISTORY_VKEY) }]]);
const refusal = (code: string) => expect.objectContaining({ code });
const sound = createHistory();

/** The state machine of a real witness behind the port, with a switch for its network. */
class TestWitness implements WitnessClient {
  readonly witness;
  remembered: string | null = null;
  logs: ReadonlyMap<string, WitnessedLog> = logs;
  isSilent = false;
  /** Whether it shows what it remembers. */
  isShowing = true;
  submissions = 0;
  readonly #index: number;

  constructor(index: number) {
    const witness = policy.witnesses[index];
    if (witness === undefined) throw new Error("there are three");
    this.witness = witness;
    this.#index = index;
  }

  async submit(parts: Submission) {
    this.submissions += 1;
    this.#requireNetwork();
    const submission = readSubmission(formatSubmission(parts), this.logs);
    if ("status" in submission) return { kind: "refused", status: submission.status } as const;
    const witness = signers[this.#index];
    if (witness === undefined) throw new Error("there are three");
    const step = decideSubmission(submission, {
      remembered: this.remembered,
      witness,
      now: 1_795_000_000,
    });
    if (step.kind === "accepted") {
      this.remembered = step.remember;
      return { kind: "cosigned", lines: step.answer.body } as const;
    }
    const { status, body } = step.answer;
    return status === 409
      ? ({ kind: "behind", size: parseTlogSize(body) } as const)
      : ({ kind: "refused", status } as const);
  }

  /** As a witness of another make. */
  async announce() {
    this.#requireNetwork();
    return { kind: "refused", status: 404 } as const;
  }

  async readLatest() {
    this.#requireNetwork();
    return this.isShowing ? this.remembered : null;
  }

  #requireNetwork() {
    if (this.isSilent) throw new TrustWardenError("witnesses_unreachable");
  }
}

/** A log that grows when told, and three witnesses. */
function scene(history = sound, startSize = 5) {
  let size = startSize;
  let monoMs = 0;
  const log = {
    vkey: HISTORY_VKEY,
    checkpoint: () => history.note(size),
    proveConsistency: async (from: number, to: number) => history.proof(from, to),
  };
  const witnesses = NAMES.map((_, index) => new TestWitness(index));
  const kept: string[] = [];
  const events: WitnessEvent[] = [];
  const rolledBack: unknown[] = [];
  const create = (stored: string | null = null) => {
    const witnessing = new Witnessing({
      policy,
      log,
      followers: witnesses.map((witness) => new WitnessFollower(witness, log)),
      store: {
        read: async () => stored,
        write: async (note) => {
          kept.push(note);
        },
      },
      intervalMs: 2,
      monoMs: () => monoMs,
      onEvent: (event) => events.push(event),
      onRolledBack: (error) => rolledBack.push(error),
    });
    onTestFinished(() => witnessing.close());
    return witnessing;
  };
  return {
    log,
    witnesses,
    kept,
    events,
    rolledBack,
    create,
    grow: (to: number) => {
      size = to;
    },
    wait: (ms: number) => {
      monoMs += ms;
    },
  };
}

describe("witnessing", () => {
  it("has every witness cosign what is published, and shows it when the quorum holds", async () => {
    const { create, kept, grow, witnesses } = scene();
    const witnessing = create();
    expect(witnessing.latest).toBeNull();
    witnessing.start();
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(5));
    grow(17);
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(17));
    await vi.waitFor(() =>
      expect(verifyWitnessedCheckpoint(witnessing.latest?.note ?? "", policy).cosignatures).toHaveLength(3),
    );
    expect(kept.at(-1)).toBe(witnessing.latest?.note);
    expect(witnesses.map(({ remembered }) => remembered).every((note) => note !== null)).toBe(true);
  });

  it("meets 2 of 3 with one silent witness, and calls nothing witnessed with two (31)", async () => {
    const { create, witnesses, grow, events, wait } = scene();
    const [a, b] = witnesses;
    if (a === undefined || b === undefined) throw new Error("there are three");
    a.isSilent = true;
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(5));
    b.isSilent = true;
    grow(9);
    await vi.waitFor(() =>
      expect(events.filter((event) => event.kind === "failed" && event.witness === "b")).not.toEqual([]),
    );
    expect(witnessing.latest?.size).toBe(5);
    // They come back, and are asked again when their time has come.
    a.isSilent = false;
    b.isSilent = false;
    wait(60_000);
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(9));
  });

  it("asks a silent witness again later and later", async () => {
    const { create, witnesses, wait } = scene();
    const [a] = witnesses;
    if (a === undefined) throw new Error("there are three");
    a.isSilent = true;
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(5));
    expect(a.submissions).toBe(1);
    wait(1000);
    await vi.waitFor(() => expect(a.submissions).toBe(2));
    wait(1999);
    await vi.waitFor(() => expect(witnessing.latest).not.toBeNull());
    expect(a.submissions).toBe(2);
    wait(1);
    await vi.waitFor(() => expect(a.submissions).toBe(3));
  });

  it("learns from a witness how far it is, and goes on from there (24)", async () => {
    const { create, witnesses, grow } = scene();
    for (const witness of witnesses)
      await witness.submit({ oldSize: 0, proof: [], checkpoint: sound.note(3) });
    grow(20);
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(20));
  });

  it("stops the process when a witness proves to have seen more, or another history", async () => {
    for (const submission of [
      { oldSize: 0, proof: [], checkpoint: sound.note(30) },
      { oldSize: 0, proof: [], checkpoint: createHistory(2).note(4) },
    ]) {
      const { create, witnesses, rolledBack } = scene();
      await witnesses[1]?.submit(submission);
      const witnessing = create();
      witnessing.start();
      await vi.waitFor(() => expect(rolledBack).toEqual([refusal("data_rolled_back")]));
    }
  });

  it("does not stop for a witness that only says so", async () => {
    const { create, witnesses, rolledBack, events } = scene();
    const [liar] = witnesses;
    if (liar === undefined) throw new Error("there are three");
    liar.submit = async () => ({ kind: "behind", size: 1_000_000 });
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(5));
    await vi.waitFor(() => expect(events).toContainEqual(expect.objectContaining({ witness: "a" })));
    expect(rolledBack).toEqual([]);
  });

  it("says of a witness that never comes to an end with us that it did not cosign", async () => {
    const { create, witnesses, events } = scene();
    const [liar] = witnesses;
    if (liar === undefined) throw new Error("there are three");
    liar.submit = async () => ({ kind: "behind", size: 3 });
    create().start();
    await vi.waitFor(() =>
      expect(events).toContainEqual(expect.objectContaining({ witness: "a", code: "witnesses_unreachable" })),
    );
  });

  it("goes on with the others when asking one fails in a way that nobody foresaw", async () => {
    const { create, witnesses, events, grow } = scene();
    const [odd] = witnesses;
    if (odd === undefined) throw new Error("there are three");
    odd.submit = async () => {
      throw new RangeError("a bug, or a disk that cannot be read");
    };
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() =>
      expect(events).toContainEqual({ kind: "failed", witness: "a", code: "internal", detail: "RangeError" }),
    );
    grow(9);
    await vi.waitFor(() => expect(witnessing.latest?.size).toBe(9));
    await expect(witnessing.close()).resolves.toBeUndefined();
  });

  it("takes one line of a witness, so that none crowds out the others", async () => {
    const { create, witnesses } = scene();
    const [crowd] = witnesses;
    if (crowd === undefined) throw new Error("there are three");
    const submit = crowd.submit.bind(crowd);
    crowd.submit = async (parts) => {
      const answer = await submit(parts);
      return answer.kind === "cosigned" ? { ...answer, lines: answer.lines.repeat(63) } : answer;
    };
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() =>
      expect(verifyWitnessedCheckpoint(witnessing.latest?.note ?? "", policy).cosignatures).toHaveLength(3),
    );
  });

  it("counts no line that is not the witness's own", async () => {
    const { create, witnesses, events } = scene();
    const [a, b, c] = witnesses;
    if (a === undefined || b === undefined || c === undefined) throw new Error("there are three");
    c.isSilent = true;
    a.submit = async (parts) => b.submit(parts);
    const witnessing = create();
    witnessing.start();
    await vi.waitFor(() =>
      expect(events).toContainEqual(expect.objectContaining({ witness: "a", code: "checkpoint_untrusted" })),
    );
    await vi.waitFor(() => expect(b.remembered).not.toBeNull());
    expect(witnessing.latest).toBeNull();
  });

  it("takes up the witnessed checkpoint of before, unless the policy has changed or the log is shorter", async () => {
    const { create, witnesses } = scene();
    const first = create();
    first.start();
    await vi.waitFor(() => expect(first.latest).not.toBeNull());
    const note = first.latest?.note ?? "";
    const again = create(note);
    await again.restore();
    expect(again.latest?.size).toBe(5);
    const stripped = create(sound.note(5));
    await stripped.restore();
    expect(stripped.latest).toBeNull();
    expect(witnesses).toHaveLength(3);
    await expect(scene(sound, 3).create(note).restore()).rejects.toThrow(refusal("data_rolled_back"));
  });

  it("stops a log that does not continue its own witnessed checkpoint, whatever the policy of today says", async () => {
    for (const history of [createHistory(2), createHistory(4)]) {
      const other = scene(history, 20);
      const first = scene();
      const witnessing = first.create();
      witnessing.start();
      await vi.waitFor(() => expect(witnessing.latest).not.toBeNull());
      for (const kept of [witnessing.latest?.note ?? "", sound.note(5)])
        await expect(other.create(kept).restore()).rejects.toThrow(refusal("data_rolled_back"));
    }
    await expect(scene(sound, 3).create(sound.note(5)).restore()).rejects.toThrow(
      refusal("data_rolled_back"),
    );
  });
});

describe("the way to a witness", () => {
  const home = mkdtempSync(join(tmpdir(), "warden-witnessing-"));
  afterAll(() => rmSync(home, { recursive: true }));
  const policyFile = join(home, "witness.policy");
  const open = (url: string, settings: object = {}) => {
    writeFileSync(policyFile, `log ${HISTORY_VKEY}\nwitness a ${vkeys[0]} ${url}\nquorum a\n`);
    const cleanups: (() => Promise<void> | void)[] = [];
    onTestFinished(async () => {
      for (const cleanup of cleanups) await cleanup();
    });
    return openWitnessing({
      shared: null,
      settings: witnessSettings.parse({ policyFile, timeoutMs: 100, whenSilent: "start", ...settings }),
      dataDir: home,
      vkey: HISTORY_VKEY,
      shards: [
        {
          name: null,
          origin: "",
          isFrozen: false,
          log: {
            ...scene().log,
            proveInclusion: async () => [],
            waitForCheckpoint: async () => undefined,
          },
        },
      ],
      monoMs: () => 0,
      onEvent: () => undefined,
      onSilent: () => undefined,
      onRolledBack: () => undefined,
      cleanups,
    });
  };

  it.each(["http://192.0.2.1/w", "http://localhost.attacker.test/w", "http://[2001:db8::1]:81"])(
    "is not plain http beyond this machine: %s",
    async (url) => {
      await expect(open(url)).rejects.toThrow(refusal("config_invalid"));
    },
  );

  it("is plain http on this machine, and elsewhere where the operator says so", async () => {
    for (const url of ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"])
      expect(await open(url)).not.toBeNull();
    expect(await open("http://192.0.2.1:9", { plainHttp: "allow" })).not.toBeNull();
  });
});

describe("the question at the start", () => {
  const ask = ({ witnesses, log }: ReturnType<typeof scene>, whenSilent: "refuse" | "start" = "refuse") =>
    requireNewest({ policy, clients: witnesses, log, whenSilent });

  it("lets a log go on that is as far as its witnesses, or further, or new", async () => {
    const fresh = scene();
    expect(await ask(fresh)).toEqual([]);
    for (const size of [1, 4, 5]) {
      const known = scene();
      for (const witness of known.witnesses)
        await witness.submit({ oldSize: 0, proof: [], checkpoint: sound.note(size) });
      expect(await ask(known)).toEqual([]);
    }
    const empty = scene(sound, 0);
    expect(await ask(empty)).toEqual([]);
    expect(verifyCheckpoint(empty.log.checkpoint(), HISTORY_VKEY).size).toBe(0);
  });

  it.each([
    ["has seen more", sound.note(6)],
    ["saw another root at our size", createHistory(2).note(5)],
    ["saw another history before", createHistory(1).note(3)],
  ])("stops a log when one witness %s, also without showing it (45)", async (_what, note) => {
    for (const isShowing of [true, false]) {
      const restored = scene();
      const [, b] = restored.witnesses;
      if (b === undefined) throw new Error("there are three");
      await b.submit({ oldSize: 0, proof: [], checkpoint: note });
      b.isShowing = isShowing;
      // What a witness only says of an older history cannot be told from having seen less.
      if (!isShowing && verifyCheckpoint(note, HISTORY_VKEY).size < 5) continue;
      for (const whenSilent of ["refuse", "start"] as const)
        await expect(ask(restored, whenSilent)).rejects.toThrow(refusal("data_rolled_back"));
    }
  });

  it("stops a log when the silent witnesses could have made a quorum without us, unless told otherwise", async () => {
    const one = scene();
    for (const witness of one.witnesses.slice(0, 1)) witness.isSilent = true;
    expect(await ask(one)).toEqual(["a"]);
    const two = scene();
    for (const witness of two.witnesses.slice(0, 2)) witness.isSilent = true;
    await expect(ask(two)).rejects.toThrow(refusal("witnesses_unreachable"));
    expect(await ask(two, "start")).toEqual(["a", "b"]);
  });

  it("takes a witness for silent whose yes has no cosignature of its own", async () => {
    for (const lines of ["", "welcome\n"]) {
      const odd = scene();
      for (const witness of odd.witnesses.slice(0, 2))
        witness.submit = async () => ({ kind: "cosigned", lines }) as const;
      await expect(ask(odd)).rejects.toThrow(refusal("witnesses_unreachable"));
    }
  });

  it("takes a witness that shows what no key of ours signed for silent", async () => {
    const odd = scene();
    for (const witness of odd.witnesses.slice(0, 2)) witness.remembered = "nonsense";
    await expect(ask(odd)).rejects.toThrow(refusal("witnesses_unreachable"));
  });

  it("asks a witness that shows the empty tree under a key that another took the place of before the first entry", async () => {
    const planned = (size: number) =>
      issueCheckpoint({ origin: HISTORY_ORIGIN, size, root: EMPTY_ROOT }, createTestLogSigner(2));
    const turned = scene();
    for (const witness of turned.witnesses) witness.remembered = planned(0);
    expect(await ask(turned)).toEqual([]);
    // What it shows may be anybody's: one that then says nothing is as silent as before, and so is a longer tree of another key.
    for (const witness of turned.witnesses)
      witness.submit = async () => ({ kind: "refused", status: 404 }) as const;
    await expect(ask(turned)).rejects.toThrow(refusal("witnesses_unreachable"));
    const other = scene();
    for (const witness of other.witnesses) witness.remembered = planned(3);
    await expect(ask(other)).rejects.toThrow(refusal("witnesses_unreachable"));
  });
});

describe("the question before a turn by the calendar", () => {
  const origin = shardOrigin(HISTORY_ORIGIN, "2027q1");
  const shard = vkeyFor(HISTORY_VKEY, origin);
  const note = issueCheckpoint({ origin, size: 0, root: EMPTY_ROOT }, createTestLogSigner());
  const ask = ({ witnesses }: ReturnType<typeof scene>) => absentFrom({ policy, clients: witnesses, note });
  const told = (...names: readonly string[]) => {
    const asked = scene();
    for (const witness of asked.witnesses)
      if (names.includes(witness.witness.name))
        witness.logs = new Map([[origin, { vkey: shard, key: parseVkey(shard) }]]);
    return asked;
  };

  it("puts the turn off for those that do not know the shard, unless enough others do", async () => {
    expect(await ask(told())).toEqual(["a", "b", "c"]);
    expect(await ask(told("a"))).toEqual(["b", "c"]);
    const two = told("a", "b");
    expect([await ask(two), await ask(two)]).toEqual([[], []]);
    // The shard begins with what they were asked about.
    const [first] = two.witnesses;
    expect(await first?.submit({ oldSize: 0, proof: [], checkpoint: note })).toMatchObject({
      kind: "cosigned",
    });
  });

  it("puts it off for those that are silent, or say yes without a signature of their own", async () => {
    const silent = told("a", "b", "c");
    for (const witness of silent.witnesses.slice(0, 2)) witness.isSilent = true;
    expect(await ask(silent)).toEqual(["a", "b"]);
    const odd = told("a", "b", "c");
    for (const witness of odd.witnesses.slice(1))
      witness.submit = async () => ({ kind: "cosigned", lines: "welcome\n" }) as const;
    expect(await ask(odd)).toEqual(["b", "c"]);
  });

  it("puts it off for one that was shown such a shard already", async () => {
    const shown = told("a", "b", "c");
    for (const witness of shown.witnesses.slice(1))
      witness.submit = async () => ({ kind: "behind", size: 7 }) as const;
    expect(await ask(shown)).toEqual(["b", "c"]);
  });
});
