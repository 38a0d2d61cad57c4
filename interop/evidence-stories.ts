/**
 * Evidence bundles of logs in which one thing happened: as the server wrote them, as the same log written again shows
 * them, and of logs that lie about it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  confirmationForgeries,
  createConfirmationStory,
  rewrittenConfirmation,
} from "../test/support/evidence-confirmations.ts";
import type { Forgery } from "../test/support/evidence-forgeries.ts";
import {
  childAgain,
  entryOfOwner,
  heldTicket,
  lateForgeries,
  nameForgeries,
} from "../test/support/evidence-names.ts";
import { createPasskeyStory, passkeyForgeries, rewritten } from "../test/support/evidence-passkeys.ts";
import { repeatingPolicies } from "../test/support/evidence-policies.ts";
import { createPresentedStory, forgersVkey, presentedForgeries } from "../test/support/evidence-presented.ts";
import {
  createTransferStory,
  rewrittenTransfer,
  transferForgeries,
} from "../test/support/evidence-transfers.ts";
import type { Lab } from "./judge.ts";

/** A bundle to look at, what must come of it, and against which anchors. */
export interface EvidenceCase {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Exit code: 0 verified, 3 something is missing, 1 refused. */
  readonly expected: 0 | 1 | 3;
  readonly anchors: readonly string[];
}

/** What happened, and the bundles that are shown of it. */
interface Told {
  readonly name: string;
  readonly story: { readonly bytes: Uint8Array; readonly vkey: string; readonly bundleText: string };
  /** Signed by the forger's log, and true all the same. */
  readonly sound: readonly Forgery[];
  readonly forgeries: readonly Forgery[];
}

/** A server for each story; who asked closes them. */
export async function createStories(
  lab: Lab,
): Promise<{ readonly cases: () => readonly EvidenceCase[]; readonly close: () => Promise<void> }> {
  const presented = await createPresentedStory();
  const passkeys = await createPasskeyStory();
  const transferred = await createTransferStory();
  const confirmed = await createConfirmationStory();
  const tell = (): readonly Told[] => [
    {
      name: "tokens presented",
      story: presented,
      sound: [],
      forgeries: presentedForgeries(presented),
    },
    {
      name: "a human's passkey",
      story: passkeys,
      sound: [{ name: "a human's passkey, in a log written again", bytes: rewritten(passkeys) }],
      forgeries: passkeyForgeries(passkeys),
    },
    {
      name: "an agent handed over",
      story: transferred,
      sound: [
        { name: "an agent handed over, in a log written again", bytes: rewrittenTransfer(transferred) },
        { name: "a ticket for the key that used it", bytes: heldTicket(transferred) },
        { name: "a child let be again", bytes: childAgain(transferred) },
        { name: "an entry of its owner's", bytes: entryOfOwner(transferred) },
      ],
      forgeries: [
        ...transferForgeries(transferred),
        ...nameForgeries(transferred),
        ...lateForgeries(transferred),
      ],
    },
    {
      name: "a confirmation",
      story: confirmed,
      sound: [{ name: "a confirmation, in a log written again", bytes: rewrittenConfirmation(confirmed) }],
      forgeries: confirmationForgeries(confirmed),
    },
  ];
  return {
    cases: () => [...tell().flatMap((one) => casesOf(lab, one)), ...policyCases(lab, presented)],
    close: async () => {
      for (const story of [presented, passkeys, transferred, confirmed]) await story.close();
    },
  };
}

function casesOf(lab: Lab, { name, story, sound, forgeries }: Told): readonly EvidenceCase[] {
  const { bytes, vkey } = story;
  const bundle = writeBundle(lab, name, story);
  const under = (key: string) => ["--vkey", key, "--bundle", bundle];
  const forged = under(forgersVkey(vkey));
  return [
    { name, bytes, expected: 0, anchors: under(vkey) },
    ...sound.map((one): EvidenceCase => ({ ...one, expected: 0, anchors: forged })),
    ...forgeries.map((one): EvidenceCase => ({ ...one, expected: 1, anchors: forged })),
  ];
}

/** Policies that say a thing twice. */
function policyCases(lab: Lab, story: Told["story"]): readonly EvidenceCase[] {
  const bundle = writeBundle(lab, "policies", story);
  return repeatingPolicies(story.vkey).map(({ name, text }, index): EvidenceCase => {
    const policy = join(lab.scratch, `repeating-${index}.txt`);
    writeFileSync(policy, text);
    const anchors = ["--policy", policy, "--bundle", bundle];
    return { name: `a policy of ${name}`, bytes: story.bytes, expected: 1, anchors };
  });
}

/** @returns where it is. */
function writeBundle(lab: Lab, name: string, { bundleText }: Told["story"]): string {
  const path = join(lab.scratch, `${name}.json`);
  writeFileSync(path, bundleText);
  return path;
}
