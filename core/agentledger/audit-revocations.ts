/**
 * What the log says was revoked, and whom it touches: instances that were issued before. An agent may be enrolled anew
 * after it was stopped, by a document that was signed later; its new instance is not the one that was meant.
 *
 * Before and after are told by epochs, which the store gives in the order of its commits; two events may reach the log the
 * other way round.
 */
import type { ControlRecord } from "../event.ts";

interface Revocation {
  readonly epoch: number;
  /** Unix seconds. */
  readonly at: number;
}

/** Owns the revocations of one audit, by what was named: an owner, an agent, an instance or its SPIFFE ID. */
export class Revocations {
  readonly #byName = new Map<string, Revocation[]>();

  /** Notes an event that ended something, as an agent that was given away did; passes over all others. */
  add(control: ControlRecord): void {
    const { subject, epoch, time } = control;
    if (!isEnding(control) || subject === null) return;
    const known = this.#byName.get(subject) ?? [];
    this.#byName.set(subject, known);
    known.push({ epoch, at: Math.floor(Date.parse(time) / 1000) });
  }

  /** A revocation of one of these names, later than one epoch and not later than another. */
  find(
    names: readonly string[],
    { after, until }: { readonly after: number; readonly until: number },
  ): { readonly name: string; readonly epoch: number } | undefined {
    for (const name of names) {
      const found = this.#byName.get(name)?.find(({ epoch }) => epoch > after && epoch <= until);
      if (found !== undefined) return { name, epoch: found.epoch };
    }
    return undefined;
  }

  /** When one of these names was last revoked, as of an epoch; Unix seconds. */
  lastAt(names: readonly string[], until: number): number | undefined {
    const times = names
      .flatMap((name) => this.#byName.get(name) ?? [])
      .filter(({ epoch }) => epoch <= until)
      .map(({ at }) => at);
    return times.length === 0 ? undefined : Math.max(...times);
  }
}

/** Whether nothing that was alive below the subject is alive afterwards. */
export function isEnding({ kind, allow, details }: ControlRecord): boolean {
  return allow && (kind === "revoke" || (kind === "transfer" && details.change === "accept"));
}

/** The names under which an instance can be revoked. */
export function namesOf(spiffeId: string, chain: readonly string[]): readonly string[] {
  return [
    ...chain.map((link) => link.replace(/^owner:/, "")),
    spiffeId,
    spiffeId.slice(spiffeId.lastIndexOf("/") + 1),
  ];
}
