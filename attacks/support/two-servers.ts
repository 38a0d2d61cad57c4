/** Two servers that share store and ledger, in worlds of their own, as weak as the world that they belong to. */
import { copyKeys } from "../../test/support/replicas.ts";
import type { World } from "./world.ts";

export interface TwoServers {
  readonly left: World;
  readonly right: World;
}

/** @param settings - of both. */
export async function openTwoServers(world: World, settings: object): Promise<TwoServers> {
  const stores = await world.launch({ args: ["attacks/support/shared-stores.ts"] });
  const configure = () => ({ ...Object(stores.ready.settings), ...settings });
  const left = world.unopened({ configure });
  await left.start();
  const right = world.unopened({ configure });
  copyKeys(left.home, right.home);
  await right.start();
  return { left, right };
}
