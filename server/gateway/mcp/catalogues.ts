/**
 * What every MCP upstream offers and what of it was approved, held ready for each call.
 *
 * Owns the catalogue in memory; it is that of the store after each change, made here or followed. A definition is usable
 * only while the last look saw exactly what was approved: a changed one is blocked from the moment it is noticed, over
 * restarts too, until an operator takes it (F5).
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Definition, DefinitionKind, DefinitionList } from "@trustwarden/core/gateway/mcp/definition.ts";
import {
  type ApproveCommand,
  MAX_MCP_CHANGES,
  type McpCommands,
  type PinState,
} from "../../store/mcp-ports.ts";
import type { CommandContext, Committed } from "../../store/ports.ts";

/** Approvals and withdrawals that go into one event together. */
const MAX_PIECE = MAX_MCP_CHANGES / 2;

/** What the catalogues need of the server. */
export interface CataloguePorts {
  readonly commands: McpCommands;
  readonly listPins: (upstream: string) => readonly PinState[];
  /** Sequences what a command owes the ledger. */
  readonly settle: (committed: Committed<unknown>) => Promise<unknown>;
  /** For what the gateway notices by itself. */
  readonly ownContext: () => CommandContext;
  readonly monoMs: () => number;
  readonly warn: (facts: Readonly<Record<string, string | number>>, message: string) => void;
}

interface Catalogue {
  pins: ReadonlyMap<string, PinState>;
  /** Another server has changed pins since these were read. */
  isStale: boolean;
  /** Monotonic milliseconds of the last whole look at a kind; a kind that was never seen is not in it. */
  readonly lookedAt: Map<DefinitionKind, number>;
}

export class Catalogues {
  readonly #ports: CataloguePorts;
  readonly #known = new Map<string, Catalogue>();

  constructor(ports: CataloguePorts) {
    this.#ports = ports;
  }

  /** By kind and name. */
  list(upstream: string): readonly PinState[] {
    return [...this.#of(upstream).pins.values()];
  }

  /** Forgets an upstream that was registered anew or removed. */
  forget(upstream: string): void {
    this.#known.delete(upstream);
  }

  /** Other servers have changed pins: those of each upstream are read again when they are asked for. */
  readAgain(): void {
    for (const catalogue of this.#known.values()) catalogue.isStale = true;
  }

  /** What was approved and is still offered, of one kind. */
  usable(upstream: string, kind: DefinitionKind): readonly PinState[] {
    return this.list(upstream).filter((pin) => pin.kind === kind && isUsable(pin));
  }

  /**
   * One pinned definition.
   *
   * @throws TrustWardenError `mcp_not_approved`, `mcp_definition_changed`.
   */
  require(upstream: string, kind: DefinitionKind, name: string): PinState {
    const pin = this.#of(upstream).pins.get(keyOf(kind, name));
    if (pin === undefined || pin.approved === null)
      throw new TrustWardenError("mcp_not_approved", { kind, name });
    if (!isUsable(pin)) {
      const { approved, seen } = pin;
      throw new TrustWardenError("mcp_definition_changed", {
        kind,
        name,
        approved_sha256: approved.sha256,
        seen_sha256: seen?.sha256 ?? null,
      });
    }
    return pin;
  }

  /** Whether a kind was looked at in whole within the last seconds. */
  isFresh(upstream: string, kind: DefinitionKind, seconds: number): boolean {
    const at = this.#of(upstream).lookedAt.get(kind);
    return at !== undefined && this.#ports.monoMs() - at < seconds * 1000;
  }

  /** Something may have changed: the next call looks first. */
  expire(upstream: string): void {
    this.#of(upstream).lookedAt.clear();
  }

  /** Takes note of a whole list; writes only when something differs. */
  async observe(upstream: string, kind: DefinitionKind, list: DefinitionList): Promise<void> {
    const startedAt = this.#ports.monoMs();
    // Asked anew each time: an upstream that is registered again meanwhile has another catalogue.
    while (this.#differs(this.#of(upstream), kind, list.definitions)) {
      const context = this.#ports.ownContext();
      const { definitions } = list;
      const committed = await this.#ports.commands.observeMcp({
        context,
        upstream,
        kinds: [kind],
        definitions,
      });
      await this.#take(upstream, committed);
    }
    for (const { reason } of list.refused) {
      this.#ports.warn({ upstream, kind, reason }, "a definition of an MCP server is not acceptable");
    }
    this.#of(upstream).lookedAt.set(kind, startedAt);
  }

  /** @throws TrustWardenError `not_found`, `mcp_definition_changed`. */
  async approve(command: ApproveCommand): Promise<void> {
    const { approve, withdraw } = command;
    // Piece by piece, as the events have room: each is by digest, and what stands when one fails was meant.
    for (let at = 0; at === 0 || at < Math.max(approve.length, withdraw.length); at += MAX_PIECE) {
      const piece = {
        ...command,
        approve: approve.slice(at, at + MAX_PIECE),
        withdraw: withdraw.slice(at, at + MAX_PIECE),
      };
      await this.#take(command.upstream, await this.#ports.commands.approveMcp(piece));
    }
  }

  async #take(upstream: string, committed: Committed<readonly PinState[]>): Promise<void> {
    // In force at once: a change that was noticed blocks before its event is sequenced.
    const catalogue = this.#of(upstream);
    catalogue.pins = indexOf(committed.value);
    catalogue.isStale = false;
    await this.#ports.settle(committed);
  }

  #differs(catalogue: Catalogue, kind: DefinitionKind, definitions: readonly Definition[]): boolean {
    const seen = [...catalogue.pins.values()].filter((pin) => pin.kind === kind && pin.seen !== null);
    if (seen.length !== definitions.length) return true;
    return definitions.some(
      ({ name, sha256 }) => catalogue.pins.get(keyOf(kind, name))?.seen?.sha256 !== sha256,
    );
  }

  #of(upstream: string): Catalogue {
    const known = this.#known.get(upstream);
    if (known !== undefined) {
      if (known.isStale) known.pins = indexOf(this.#ports.listPins(upstream));
      known.isStale = false;
      return known;
    }
    const pins = indexOf(this.#ports.listPins(upstream));
    const catalogue: Catalogue = { pins, isStale: false, lookedAt: new Map() };
    this.#known.set(upstream, catalogue);
    return catalogue;
  }
}

/** Whether what was approved is what was seen last. */
export function isUsable({ approved, seen }: PinState): boolean {
  return approved !== null && approved.sha256 === seen?.sha256;
}

function indexOf(pins: readonly PinState[]): ReadonlyMap<string, PinState> {
  return new Map(pins.map((pin) => [keyOf(pin.kind, pin.name), pin]));
}

function keyOf(kind: DefinitionKind, name: string): string {
  return `${kind} ${name}`;
}
