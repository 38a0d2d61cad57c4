/** An https origin in a setting: lower case, without path or trailing slash, since readers compare issuers and addresses as text. */
export const HTTPS_ORIGIN = /^https:\/\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?$/;
