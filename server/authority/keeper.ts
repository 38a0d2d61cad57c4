/**
 * Keeps the authority while the server runs: takes the operator's steps, one at a time, and the planned ones by age.
 *
 * The order of a step: the new key is durable, the state and its event commit together, then this process, its TLS and
 * every lease learn of it. A crash in between leaves the state of before or of after, never one without its event.
 */
import { join } from "node:path";
import {
  type AuthorityKind,
  type AuthoritySlot,
  activeSlotOf,
  bundleOfState,
  certificateOf,
  renewalsOfState,
  type TokenKind,
} from "@trustwarden/core/agentid/authority-slots.ts";
import {
  type AuthorityStep,
  applyStep,
  endedAt,
  publishedAt,
} from "@trustwarden/core/agentid/authority-steps.ts";
import { draftSuccession } from "@trustwarden/core/agentid/succession.ts";
import { digestOfAuthorities } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { ServerKeys } from "../keys.ts";
import type { ChangeAuthorityCommand, StoredAuthority } from "../store/authority-ports.ts";
import type { CommandContext, Committed, StoreCommands, StoreReads } from "../store/ports.ts";
import { type Issuer, makeSlot } from "./certificates.ts";
import type { CurrentAuthority } from "./current.ts";
import { renewRootCrl, revokedBelow } from "./root-crl.ts";

const DAY_SECONDS = 86_400;
/** A third of the intermediate's 90 days: room for a server that is down for a while. */
const RENEW_INTERMEDIATE_BEFORE_SECONDS = 30 * DAY_SECONDS;
/** The key of a kind of tokens signs this long before its successor is prepared. */
const TOKEN_KEY_AGE_SECONDS = 60 * DAY_SECONDS;
const TOKEN_KINDS: readonly TokenKind[] = ["jwt", "wit"];
/** How often the ages are looked at. */
const TEND_MS = 60_000;

/** Who asked for a step, and why. */
export interface StepOrder {
  readonly context: CommandContext;
  readonly reason: string;
}

/** Spreads a committed step: listeners and leases learn of it, and the ledger has it. Returns when they have. */
export type Announce = (committed: Committed<StoredAuthority>, step: AuthorityStep) => Promise<void>;

interface KeeperOptions {
  readonly keys: ServerKeys;
  readonly commands: Pick<StoreCommands, "changeAuthority" | "mendAuthority">;
  readonly reads: Pick<StoreReads, "authority">;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** Whether the store gives keys to other servers. */
  readonly isKept?: boolean;
  /** Where other servers take steps too: brings what they committed. */
  readonly catchUp?: () => Promise<void>;
  /** Whether this is the one of several servers that takes the planned steps; the only one unless given. */
  readonly isTending?: () => boolean;
}

/** Owns the authority's state in this process: what `current` gives is what the store committed last. */
export class AuthorityKeeper {
  readonly #options: KeeperOptions;
  #current: CurrentAuthority | undefined;
  #state: StoredAuthority;
  #rootCrls: readonly Uint8Array[] = [];
  /** Whether the lists say less than the state, because a root's key was away when a step had committed. */
  #isListDue = false;
  /** Steps run one after the other: each is checked against the state that the one before left. */
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#state = options.reads.authority();
  }

  /** The same object until the authority changes. */
  current(): CurrentAuthority {
    this.#current ??= this.#publish();
    return this.#current;
  }

  state(): StoredAuthority {
    return this.#state;
  }

  /** The lists of the roots in use, the active one's first. DER. */
  rootCrls(): readonly Uint8Array[] {
    return this.#rootCrls;
  }

  /**
   * Takes up what another server of the store did; its keys are here already.
   *
   * @returns whether there was anything.
   */
  follow(): boolean {
    const state = this.#options.reads.authority();
    if (state.sequence <= this.#state.sequence) return false;
    this.#adopt(state);
    void this.#inTurn(() => this.#tryLists()).catch(() => undefined);
    return true;
  }

  /**
   * Brings keys, state and lists together, as a crash or a long absence may have left them.
   *
   * @returns the steps that were taken without an event, because the intermediate had ended: record them.
   */
  async open(): Promise<readonly AuthorityStep[]> {
    const { keys } = this.#options;
    keys.ring.removeUnknown(this.#state.slots);
    for (const slot of this.#state.slots.filter(isDone)) keys.ring.destroy(slot);
    const steps = await this.#mend();
    await this.#renewLists();
    return steps;
  }

  /** Makes a key of a kind and publishes it. @throws TrustWardenError `authority_conflict`. */
  prepare(kind: AuthorityKind, order: StepOrder, announce: Announce): Promise<StoredAuthority> {
    return this.#inTurn(async () => {
      if (this.#find(kind, "prepared") !== undefined) {
        throw new TrustWardenError("authority_conflict", { kind, reason: "one is prepared already" });
      }
      return this.#prepare(kind, order, announce);
    });
  }

  /** Any other step. @throws TrustWardenError as `applyStep`. */
  take(
    step: Exclude<AuthorityStep, { readonly step: "prepare" }>,
    order: StepOrder,
    announce: Announce,
  ): Promise<StoredAuthority> {
    return this.#inTurn(() => this.#take(step, order, announce));
  }

  /**
   * Prepares, unless there is a prepared key, and activates. By force, the old key is tainted too: everybody renews
   * now.
   *
   * @throws TrustWardenError `authority_not_published` without force for a root or a JWT key, which stay prepared.
   */
  rotate(
    { kind, isForced }: { readonly kind: AuthorityKind; readonly isForced: boolean },
    order: StepOrder,
    announce: Announce,
  ): Promise<StoredAuthority> {
    return this.#inTurn(async () => {
      const old = activeSlotOf(this.#state, kind);
      if (this.#find(kind, "prepared") === undefined) await this.#prepare(kind, order, announce);
      await this.#take({ step: "activate", kind, isForced }, order, announce);
      if (isForced) await this.#take({ step: "taint", id: old.id }, order, announce);
      return this.#state;
    });
  }

  /** Prepares and activates the first key of a kind that signs tokens; nothing when one signs already. */
  async found(kind: TokenKind, order: StepOrder, announce: Announce): Promise<void> {
    try {
      await this.#inTurn(() => this.#found(kind, order, announce));
    } catch (error) {
      const isOthers = error instanceof TrustWardenError && error.code === "authority_conflict";
      if (this.#options.catchUp === undefined || !isOthers) throw error;
      // Another server began at the same time; whatever it left is gone on from.
      await this.#inTurn(() => this.#found(kind, order, announce));
    }
  }

  async #found(kind: TokenKind, order: StepOrder, announce: Announce): Promise<void> {
    if (this.#find(kind, "active") !== undefined) return;
    if (this.#find(kind, "prepared") === undefined) await this.#prepare(kind, order, announce);
    await this.#take({ step: "activate", kind, isForced: true }, order, announce);
  }

  /** Takes the planned steps by age from now on. */
  tend(order: () => StepOrder, announce: Announce, onError: (error: unknown) => void): void {
    this.#timer = setInterval(() => {
      if (this.#options.isTending?.() === false) return;
      this.takePlanned(order(), announce).catch(onError);
    }, TEND_MS).unref();
  }

  /** The steps that are due: rotation of the online keys by age, and the end of what was superseded. */
  async takePlanned(order: StepOrder, announce: Announce): Promise<void> {
    await this.#inTurn(async () => {
      const now = this.#now();
      if (this.#isIntermediateDue(now)) {
        if (this.#find("intermediate", "prepared") === undefined) {
          await this.#prepare("intermediate", order, announce);
        }
        await this.#take({ step: "activate", kind: "intermediate", isForced: false }, order, announce);
      }
      for (const kind of TOKEN_KINDS) await this.#rotateTokenKey(kind, order, announce);
      for (const { id } of this.#state.slots.filter((slot) => isOver(slot, now))) {
        await this.#take({ step: "retire", id, isForced: false }, order, announce);
      }
      if (this.#isListDue) await this.#renewLists();
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#last.catch(() => undefined);
  }

  async #rotateTokenKey(kind: TokenKind, order: StepOrder, announce: Announce): Promise<void> {
    const active = this.#find(kind, "active");
    const now = this.#now();
    if (active === undefined || now < (active.activatedAt ?? 0) + TOKEN_KEY_AGE_SECONDS) return;
    const prepared = this.#find(kind, "prepared");
    if (prepared === undefined) await this.#prepare(kind, order, announce);
    else if (now >= publishedAt(prepared)) {
      await this.#take({ step: "activate", kind, isForced: false }, order, announce);
    }
  }

  #isIntermediateDue(now: number): boolean {
    const { expiresAt } = activeSlotOf(this.#state, "intermediate");
    return (expiresAt ?? 0) - now <= RENEW_INTERMEDIATE_BEFORE_SECONDS;
  }

  async #prepare(kind: AuthorityKind, order: StepOrder, announce: Announce): Promise<StoredAuthority> {
    const { step, key } = await this.#makeStep(kind);
    const sealed = this.#options.isKept ? this.#options.keys.ring.sealedBytes(step.slot) : undefined;
    const made = { ...order, step, key, succession: await this.#succession(step) };
    return this.#run(sealed === undefined ? made : { ...made, sealed }, announce);
  }

  async #take(
    step: Exclude<AuthorityStep, { readonly step: "prepare" }>,
    order: StepOrder,
    announce: Announce,
  ): Promise<StoredAuthority> {
    return this.#run({ ...order, step, key: null, succession: await this.#succession(step) }, announce);
  }

  async #run(command: ChangeAuthorityCommand, announce: Announce): Promise<StoredAuthority> {
    const { catchUp, commands } = this.#options;
    const after = catchUp === undefined ? {} : { after: this.#state.sequence };
    const committed = await commands.changeAuthority({ ...command, ...after });
    if (committed.value.sequence > this.#state.sequence) this.#adopt(committed.value);
    await announce(committed, command.step);
    await this.#tryLists();
    return this.#state;
  }

  #adopt(state: StoredAuthority): void {
    this.#state = state;
    this.#current = this.#publish();
    for (const slot of state.slots.filter(isDone)) this.#options.keys.ring.destroy(slot);
  }

  async #makeStep(
    kind: AuthorityKind,
  ): Promise<
    Pick<ChangeAuthorityCommand, "key"> & { readonly step: Extract<AuthorityStep, { step: "prepare" }> }
  > {
    const { keys, random } = this.#options;
    const making = { ring: keys.ring, trustDomain: keys.trustDomain, random, now: this.#now() };
    const slot = await makeSlot(making, kind, () => this.#issuer());
    const key = kind === "root" ? null : keys.ring.signingKey(slot);
    return { step: { step: "prepare", slot }, key };
  }

  /** The active root's word on the roots after a step that changes which of them are published. */
  async #succession(step: AuthorityStep): Promise<ChangeAuthorityCommand["succession"]> {
    const { trustDomain } = this.#options.keys;
    const now = this.#now();
    const { sequence, slots } = applyStep(this.#state, step, now);
    const from = this.current().bundle.x509Authorities;
    const to = digestOfAuthorities(bundleOfState({ sequence, slots }, trustDomain, now));
    if (to === this.current().authoritiesSha256) return null;
    const root = this.#issuer();
    const draft = draftSuccession({
      trustDomain,
      sequence,
      from,
      to,
      signer: root.certificate,
    });
    const signer = await root.signer();
    const envelope = draft.complete(await signer.sign(draft.pae));
    return { signerId: activeSlotOf(this.#state, "root").id, envelope };
  }

  /** An intermediate that ended while nobody was here signs no event either, so its successor comes without one. */
  async #mend(): Promise<readonly AuthorityStep[]> {
    const { commands, nowMs } = this.#options;
    const { expiresAt } = activeSlotOf(this.#state, "intermediate");
    if ((expiresAt ?? 0) > this.#now()) return [];
    const steps: AuthorityStep[] = [];
    let key = null;
    if (this.#find("intermediate", "prepared") === undefined) {
      const made = await this.#makeStep("intermediate");
      steps.push(made.step);
      key = made.key;
    }
    steps.push({ step: "activate", kind: "intermediate", isForced: false });
    this.#state = await commands.mendAuthority({ nowMs: nowMs(), steps, key, succession: null });
    this.#current = this.#publish();
    return steps;
  }

  async #renewLists(): Promise<void> {
    const { keys } = this.#options;
    const now = this.#now();
    const intermediate = activeSlotOf(this.#state, "intermediate");
    const roots = this.#state.slots.filter(
      ({ kind, state }) =>
        kind === "root" && state !== "prepared" && state !== "retired" && state !== "revoked",
    );
    const lists = roots
      .toSorted((left, right) => Number(right.state === "active") - Number(left.state === "active"))
      .map((root) =>
        renewRootCrl({
          path: join(keys.directory, `root-crl-${root.id}.der`),
          root: certificateOf(root, keys.trustDomain),
          rootSigner: () => keys.ring.rootSigner(root),
          revoked: revokedBelow(this.#state, { root, trustDomain: keys.trustDomain, now }),
          now,
          until: intermediate.expiresAt ?? now,
        }),
      );
    this.#rootCrls = await Promise.all(lists);
    this.#isListDue = false;
  }

  /** A root's key that is away delays its list; a step that has committed is not undone, and stopping never waits. */
  async #tryLists(): Promise<void> {
    this.#isListDue = true;
    try {
      await this.#renewLists();
    } catch (error) {
      // Safe: our own checks read the state, and every minute the list is tried again, and its failure logged.
      if (!(error instanceof TrustWardenError) || error.code !== "signer_unavailable") throw error;
    }
  }

  #issuer(): Issuer {
    const { keys } = this.#options;
    const root = activeSlotOf(this.#state, "root");
    const certificate = certificateOf(root, keys.trustDomain);
    return { certificate, signer: () => keys.ring.rootSigner(root) };
  }

  #publish(): CurrentAuthority {
    const { trustDomain } = this.#options.keys;
    const now = this.#now();
    const bundle = bundleOfState(this.#state, trustDomain, now);
    return {
      bundle,
      authoritiesSha256: digestOfAuthorities(bundle),
      intermediate: certificateOf(activeSlotOf(this.#state, "intermediate"), trustDomain),
      renew: renewalsOfState(this.#state, now),
      successions: this.#state.successions,
    };
  }

  #find(kind: AuthorityKind, state: AuthoritySlot["state"]): AuthoritySlot | undefined {
    return this.#state.slots.find((slot) => slot.kind === kind && slot.state === state);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const { catchUp } = this.#options;
    const upToDate = async () => {
      if (catchUp !== undefined) {
        await catchUp();
        this.follow();
      }
      return await run();
    };
    const turn = this.#last.then(upToDate, upToDate);
    this.#last = turn;
    return turn;
  }

  #now(): number {
    return Math.floor(this.#options.nowMs() / 1000);
  }
}

/** What a retired or revoked key signed is over, so the key is of use to thieves only. */
function isDone({ state }: AuthoritySlot): boolean {
  return state === "retired" || state === "revoked";
}

/** A root is retired by its operator: only they know who still pins it. */
function isOver(slot: AuthoritySlot, now: number): boolean {
  const isWaiting = slot.state === "superseded" || slot.state === "tainted";
  return slot.kind !== "root" && isWaiting && now >= endedAt(slot);
}
