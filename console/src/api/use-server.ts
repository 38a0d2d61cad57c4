/** What the server says of itself to anybody: its discovery document. */

import type { UseQueryResult } from "@tanstack/react-query";
import { type Discovery, discovery } from "@trustwarden/core/api/ledger.ts";
import { useApi } from "./use-api.ts";

/** The discovery document, asked for once. */
export function useServer(): UseQueryResult<Discovery> {
  return useApi("/.well-known/trustwarden", discovery);
}
