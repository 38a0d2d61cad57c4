/** The test log key under the name that `interop/proof-judge.ts` imports; the helpers are in `ledger.test.support.ts`. */
export { createTestLogSigner } from "./ledger.test.support.ts";
