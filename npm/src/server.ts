// For servers: tokens that let users connect. Nothing of it belongs into a page.

export { TokenIssuerError, type IssuerErrorCode } from "./server/error.js";
export {
  TokenIssuer,
  type CallOptions,
  type CreateOptions,
  type Grant,
  type IssuedToken,
  type IssuerOptions,
  type Revoke,
} from "./server/issuer.js";
