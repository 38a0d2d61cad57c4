/**
 * Fills a data directory with the owners, entries, agents and sub-agents of a network of agents.
 *
 * An owner's first agent and those with a registration entry, through nodes, are issued by the writer's commands; the others are
 * written as rows (`bulk.ts`).
 */
import { entryIdOf, issueRegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createDice } from "../../server/store/index/history.test.support.ts";
import type { IssuedIdentity } from "../../server/store/ports.ts";
import type { EntryIdentity } from "../../server/store/registration-ports.ts";
import type { WriterCommand } from "../../server/store/writer-protocol.ts";
import { createSigner } from "../domain.ts";
import type { Placed } from "./bulk.ts";
import {
  bulkOf,
  createOwner,
  enrolmentOf,
  entryDocument,
  newSpki,
  type Owner,
  SELECTOR,
  type Waiting,
} from "./commands.ts";
import { type Filling, operatorContext } from "./founding.ts";
import { MAX_DEPTH, ownerSizes, planTrees, type Shape } from "./shape.ts";

/** Commands, or agents as rows, committed together. */
const GROUP = 2048;

/** Nodes and their entries. */
export interface NodePlan {
  readonly names: readonly string[];
  readonly entries: number;
}

/** A node's own instance, for the commands that it is the asker of. */
interface NodeRow {
  readonly name: string;
  readonly instanceId: string;
  readonly svidSha256: string;
}

/** What was made. */
export interface Made {
  readonly agents: number;
  /** Roots of trees by number of descendants, largest first; a few. */
  readonly largest: readonly { readonly agentId: string; readonly descendants: number }[];
}

/** Fills the store. @param onProgress - agents so far. */
export async function generate(
  filling: Filling,
  options: { readonly shape: Shape; readonly nodes: NodePlan; readonly onProgress: (agents: number) => void },
): Promise<Made> {
  const { shape, nodes, onProgress } = options;
  const roll = createDice(20_261_122);
  const rows = await admitNodes(filling, nodes.names);
  const sizes = ownerSizes(shape);
  const generator = new Generator(filling, rows, nodes.entries);
  let batch: number[] = [];
  let total = 0;
  for (const [rank, size] of sizes.entries()) {
    batch.push(size);
    if (batch.reduce((sum, one) => sum + one, 0) < 4 * GROUP && rank < sizes.length - 1) continue;
    total += await generator.fill(batch, rank, roll);
    batch = [];
    onProgress(total);
  }
  return { agents: total, largest: generator.largest };
}

class Generator {
  largest: readonly { readonly agentId: string; readonly descendants: number }[] = [];
  readonly #filling: Filling;
  readonly #nodes: readonly NodeRow[];
  readonly #maxEntries: number;
  #entries = 0;

  constructor(filling: Filling, nodes: readonly NodeRow[], maxEntries: number) {
    this.#filling = filling;
    this.#nodes = nodes;
    this.#maxEntries = maxEntries;
  }

  async fill(sizes: readonly number[], rank: number, roll: (sides: number) => number): Promise<number> {
    const owners = await this.#createOwners(sizes, rank, roll);
    const issued = new Map<Owner, Map<number, Placed>>(owners.map((owner) => [owner, new Map()]));
    const details = await this.#issueFirst(owners, issued);
    for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
      const waiting = owners.flatMap((owner) =>
        owner.agents.flatMap((agent, place) =>
          agent.depth === depth && place > 0 ? [{ owner, place }] : [],
        ),
      );
      for (let at = 0; at < waiting.length; at += GROUP) {
        await this.#issue(waiting.slice(at, at + GROUP), { issued, details });
      }
    }
    for (const owner of owners) this.#noteLargest(owner, issued.get(owner));
    return owners.reduce((sum, { agents }) => sum + agents.length, 0);
  }

  async #createOwners(
    sizes: readonly number[],
    rank: number,
    roll: (sides: number) => number,
  ): Promise<readonly Owner[]> {
    const made = sizes.map((size, at) => ({
      size,
      name: `owner-${rank - sizes.length + 1 + at}`,
      signer: createSigner(),
    }));
    const context = operatorContext();
    const commands = made.map(
      ({ name, signer }): WriterCommand => ({
        kind: "createOwner",
        command: { context, name, spki: encodeSpki(signer.publicKey) },
      }),
    );
    const answers = await this.#filling.run<{ readonly ownerId: string }>(commands);
    return made.map(({ size, name, signer }, at) =>
      createOwner({
        ownerId: answers[at]?.value.ownerId ?? "",
        signer,
        agents: planTrees(size, roll),
        path: name,
      }),
    );
  }

  /** An owner's first agent, by a command; gives what its event has of certificate and proofs. */
  async #issueFirst(
    owners: readonly Owner[],
    issued: Map<Owner, Map<number, Placed>>,
  ): Promise<ReadonlyMap<Owner, JsonObject>> {
    const answers = await this.#filling.run<IssuedIdentity>(owners.map(enrolmentOf));
    const details = new Map<Owner, JsonObject>();
    for (const [at, owner] of owners.entries()) {
      const answer = answers[at];
      const event = answer?.entries.at(-1);
      if (answer === undefined || event === undefined) throw new Error("each command has an event");
      issued.get(owner)?.set(0, placedOf(answer.value));
      details.set(owner, readDetails(event));
    }
    return details;
  }

  async #issue(
    waiting: readonly Waiting[],
    known: {
      readonly issued: Map<Owner, Map<number, Placed>>;
      readonly details: ReadonlyMap<Owner, JsonObject>;
    },
  ): Promise<void> {
    const { issued, details } = known;
    const entryCommands: WriterCommand[] = [];
    const byEntry = waiting.flatMap((one) => {
      const command =
        one.owner.agents[one.place]?.parent === null ? this.#entryOf(one, entryCommands) : undefined;
      return command === undefined ? [] : [{ one, command }];
    });
    await this.#filling.run(entryCommands);
    const answers = await this.#filling.run<EntryIdentity>(byEntry.map(({ command }) => command));
    const done = new Set<Waiting>();
    for (const [at, { one }] of byEntry.entries()) {
      const value = answers[at]?.value;
      if (value !== undefined) issued.get(one.owner)?.set(one.place, placedOf(value));
      done.add(one);
    }
    const rows = waiting.filter((one) => !done.has(one));
    const placed = await this.#filling.write(
      rows.map((one) => bulkOf(one, issued.get(one.owner), details.get(one.owner))),
    );
    for (const [at, { owner, place }] of rows.entries()) {
      const value = placed[at];
      if (value !== undefined) issued.get(owner)?.set(place, value);
    }
  }

  /** An instance by a registration entry, which is made for it; undefined when there are enough. */
  #entryOf(waiting: Waiting, into: WriterCommand[]): WriterCommand | undefined {
    const node = this.#nodes[this.#entries % Math.max(1, this.#nodes.length)];
    if (node === undefined || this.#entries >= this.#maxEntries) return undefined;
    const { owner } = waiting;
    const document = entryDocument(waiting, node.name);
    const envelope = issueRegistrationEntry(document, owner.signer, owner.keyid);
    const context = operatorContext();
    into.push({ kind: "createEntry", command: { context, entry: { kind: "agent", document, envelope } } });
    this.#entries += 1;
    return {
      kind: "issueByEntry",
      command: {
        context: { ...operatorContext(), principal: `node:${node.name}` },
        entryId: entryIdOf(document),
        asker: {
          kind: "node",
          nodeInstanceId: node.instanceId,
          nodeSvidSha256: node.svidSha256,
          selectors: [SELECTOR],
          strength: "unix",
          facts: {},
        },
        compositionSha256: null,
        compositionSelectors: [],
        custody: "delivered",
        key: { spki: newSpki(), possession: owner.possession },
        classKey: null,
      },
    };
  }

  #noteLargest({ agents }: Owner, issued: ReadonlyMap<number, Placed> | undefined): void {
    const below = new Map<number, number>();
    for (let place = agents.length - 1; place >= 0; place -= 1) {
      const parent = agents[place]?.parent ?? null;
      if (parent !== null) below.set(parent, (below.get(parent) ?? 0) + 1 + (below.get(place) ?? 0));
    }
    const roots = agents.flatMap(({ parent }, place) => {
      const agentId = issued?.get(place)?.agentId;
      return parent === null && agentId !== undefined
        ? [{ agentId, descendants: below.get(place) ?? 0 }]
        : [];
    });
    this.largest = [...this.largest, ...roots]
      .toSorted((left, right) => right.descendants - left.descendants)
      .slice(0, 20);
  }
}

async function admitNodes(filling: Filling, names: readonly string[]): Promise<readonly NodeRow[]> {
  const rows: NodeRow[] = [];
  for (const name of names) {
    const selectors = [`join:${name}`];
    const attestation = { type: "bench", selectors, subject: name, claims: {}, singleUse: null };
    const spki = newSpki();
    const [, admitted] = await filling.run<IssuedIdentity>([
      {
        kind: "createEntry",
        command: { context: operatorContext(), entry: { kind: "node", document: { name, selectors } } },
      },
      {
        kind: "admitNode",
        command: {
          context: operatorContext(),
          by: { kind: "attestation", attestation },
          name,
          spki,
          possession: "{}",
          evidenceSha256: encodeBase64url(sha256(spki)),
        },
      },
    ]);
    const value = admitted?.value;
    if (value === undefined) throw new Error("no node");
    const svidSha256 = encodeBase64url(sha256(value.svidChain[0] ?? new Uint8Array()));
    rows.push({ name, instanceId: value.instanceId, svidSha256 });
  }
  return rows;
}

function placedOf({ agentId, instanceId, spiffeId, chain }: IssuedIdentity): Placed {
  return { agentId: agentId ?? "", instanceId, spiffeId, chain };
}

function readDetails(event: Uint8Array): JsonObject {
  const { details } = parseUnverifiedPayload(parseEnvelope(parseUtf8(event)));
  return { ...Object(details) };
}
