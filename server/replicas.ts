/**
 * Puts the feed of a server together that shares its store with others: what it gives, what it hears, and what of the
 * others' doing its own verifiers are told.
 */
import { encodeHex } from "@trustwarden/core/bytes.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Notices } from "@trustwarden/core/notices.ts";
import { ReplicaLeases } from "@trustwarden/core/revocation/replica-leases.ts";
import { createFeed, type Feed, type FeedOptions } from "./feed/feed.ts";
import { SharedFeed } from "./feed/shared-feed.ts";
import { askTogether } from "./shared/sharing.ts";
import { readPrivateFile } from "./signer/private-file.ts";
import { openPostgresLogin } from "./store/postgres-login.ts";
import type { StateSettings } from "./store/postgres-state/protocol.ts";
import { ReplicaSession } from "./store/postgres-state/replica-session.ts";
import type { OnFollowed, SqliteStore } from "./store/sqlite.ts";
import { SERVER_VERSION } from "./version.ts";

const NAME_BYTES = 16;

/** One of several servers, as the others know it. */
export interface Replica {
  readonly feed: Feed;
  /** By which the store knows this process. */
  readonly name: string;
  /** Names of the others of which it has heard within a day. */
  others(): readonly string[];
  /** What is left of the lease that this server has itself, in milliseconds: 0 means that it must not say what is current. */
  leftMs(): number;
  /** Ends what it gives. */
  close(): Promise<void>;
}

/** Starts to beat; there is no lease before the first answer. */
export function openReplica(options: {
  readonly store: Pick<SqliteStore, "reads" | "watchFollowed" | "watchKept"> & {
    readonly commands: Pick<SqliteStore["commands"], "markSequenced">;
  };
  readonly settings: Pick<StateSettings, "login">;
  readonly random: Random;
  readonly feed: Omit<FeedOptions, "store" | "leftMs">;
  /** The copy has what others wrote; called before any verifier is told. */
  readonly onFollowed?: OnFollowed;
  readonly onUnannounced: (error: unknown) => void;
  readonly notices?: Notices | undefined;
}): Replica {
  const { store, settings, random, onFollowed, onUnannounced, notices } = options;
  const { clock } = options.feed;
  const monoMs = () => clock.monoMs();
  const leases = new ReplicaLeases(monoMs());
  // A server that starts again is another one: nobody knows what its verifiers were told before.
  const name = encodeHex(random(NAME_BYTES));
  const leftMs = (): number => leases.leftMs(own.epoch, monoMs());
  const own = createFeed({ ...options.feed, store: store.reads, leftMs });
  const feed = new SharedFeed({ feed: own, leases, clock, beatNow: () => session.beatNow() });
  const session = new ReplicaSession({
    login: () => openPostgresLogin(settings.login, "state.postgres", readPrivateFile),
    name,
    version: SERVER_VERSION,
    monoMs,
    own: () => ({ acked: feed.acknowledged, leases: own.leases + own.leasesBehind }),
    onHeard: (heard) => {
      leases.hear(heard, monoMs());
      feed.look();
    },
    notices,
  });
  store.watchKept(() => notices?.tell("state"));
  // A group that changes nothing reads what others wrote. Safe: what cannot be read now is looked for by the clock.
  const look = askTogether(() => store.commands.markSequenced([]));
  notices?.watch("state", () => void look().catch(() => undefined));
  store.watchFollowed((tables) => {
    onFollowed?.(tables);
    const epoch = store.reads.epoch();
    if (epoch > own.epoch) feed.follow(store.reads.targetsSince(own.epoch), epoch).catch(onUnannounced);
  });
  return {
    feed,
    name,
    others: () => leases.names,
    leftMs,
    close: async () => {
      await feed.close();
      await session.close();
    },
  };
}
