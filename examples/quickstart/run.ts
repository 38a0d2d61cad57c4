/**
 * The quickstart: the founding story from a registered owner to a proven and stoppable result, as separate processes
 * on this machine, against a real server and a real service.
 *
 *   ./dev quickstart [--keep]
 *
 * Each line is one scene with a mark and its time. A scene that does not hold ends the play with exit code 1. The
 * scenes are in `scenes.ts` and `scenes-proof.ts`; what each agent does is in the file of its name.
 */
import { parseArgs } from "node:util";
import { Playbill, SceneFailed } from "./playbill.ts";
import {
  createOwner,
  enterFetcher,
  enterOrchestrator,
  enterPaymentAgent,
  openFinance,
  openServer,
  refuseDelete,
  refuseRogue,
  TRUST_DOMAIN,
} from "./scenes.ts";
import { askThreeQuestions, letThiefIn, stopPaymentAgent, verifyOffline } from "./scenes-proof.ts";
import { Stage } from "./stage.ts";

const { values } = parseArgs({ options: { keep: { type: "boolean", default: false } } });
const stage = new Stage();
const bill = new Playbill();
let hasFailed = false;

console.log(
  `TrustWarden quickstart: agents of ${TRUST_DOMAIN}, each a process of its own, in ${stage.places.root}\n`,
);
try {
  await perform();
} catch (error) {
  if (!(error instanceof SceneFailed)) throw error;
  hasFailed = true;
} finally {
  await stage.close({ keep: values.keep });
}
bill.finish({ hasFailed });
if (values.keep) console.log(`\nKept: ${stage.places.root}`);
process.exitCode = hasFailed ? 1 : 0;

async function perform(): Promise<void> {
  const server = await bill.scene("Server", () => openServer(stage));
  await bill.scene("Owner", () => createOwner(stage));
  const finance = await bill.scene("Finance API", () => openFinance(stage));
  const orchestrator = await bill.scene("Orchestrator", () => enterOrchestrator(stage));
  const payment = await bill.scene("Payment agent", () =>
    enterPaymentAgent({ stage, orchestrator, finance }),
  );
  await bill.scene("Denied", () => refuseDelete({ payment, finance, stage }));
  const fetcher = await bill.scene("Data fetcher", () => enterFetcher({ stage, orchestrator, finance }));
  await bill.scene("Rogue child", () => refuseRogue({ stage, orchestrator }));
  await bill.scene("Thief", () => letThiefIn({ stage, server, finance, payment }));
  await bill.scene("Stop", () =>
    stopPaymentAgent({ stage, payment, bystanders: [orchestrator, fetcher], finance }),
  );
  await bill.scene("Who and why", () => askThreeQuestions({ stage, payment }));
  await bill.scene("Offline", () => verifyOffline({ stage, payment }));
}
