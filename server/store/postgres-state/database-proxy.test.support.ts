/** The faulty link between a test's server and its database, in the words of the state's settings. */
import { openFaultyLink } from "../../../test/support/faulty-link.ts";
import type { StateSettings } from "./protocol.ts";

/** A way to a database that can be cut, held, or robbed of an answer. */
export interface Proxy {
  /** The same store, through here. */
  of(settings: StateSettings): StateSettings;
  /** The next group of commands arrives, and its answer never. */
  loseNextAnswer(): void;
  /** Nothing gets through any more from the next group of commands on. Returns when that is on its way. */
  hangAtGroup(): Promise<void>;
  /** Ends every connection, and refuses new ones until `mend`. */
  cut(): void;
  mend(): void;
  /** Connections stay, and nothing gets through any more. */
  hang(): void;
  close(): Promise<void>;
}

/** Listens on a port of its own until it is closed. @param target - port of the database. */
export async function startProxy(target: number): Promise<Proxy> {
  const link = await openFaultyLink(target);
  const { port } = link;
  const isGroup = (sent: Buffer) => sent.includes("apply_group");
  return {
    of: (settings) => ({ ...settings, login: { ...settings.login, port } }),
    loseNextAnswer: () => link.loseNextAnswer(isGroup),
    hangAtGroup: () =>
      new Promise((resolve) =>
        link.loseNextAnswer((sent) => {
          if (!isGroup(sent)) return false;
          link.part();
          resolve();
          return false;
        }),
      ),
    cut: () => link.cut(),
    mend: () => link.heal(),
    hang: () => link.part(),
    close: () => link.close(),
  };
}
