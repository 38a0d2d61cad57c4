/** A row of the table of codes, and the sentences that several rows share. */

/** What a code means to a stranger. */
export interface ErrorEntry {
  /** HTTP status that this failure maps to. */
  readonly status: number;
  /** The sentence a stranger may read. */
  readonly message: string;
}

export const BAD_REQUEST = "The request is not well formed.";
export const NOT_AUTHENTICATED = "The caller could not be authenticated.";
export const NOT_ALLOWED = "The caller is not allowed to do this.";
export const UNAVAILABLE = "The service cannot answer safely right now; try again later.";
