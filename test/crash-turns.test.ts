/** Turns of a ledger on this machine's disk, killed at each step. */
import { describeTurnCrashes } from "./support/turn-crashes.ts";

describeTurnCrashes("a ledger on a disk", async () => ({}));
