//! Every bound of identity providers. What an operator may want to change is in the configuration (`identity.*`).

/// Providers of one organization.
pub const PROVIDERS_PER_ORG_MAX: usize = 16;
/// Length of a provider's name, bytes: it travels in tokens.
pub use crate::accounts::limits::PROVIDER_NAME_BYTES_MAX;
/// Issuers of one provider: a development and a production instance, and room for a move.
pub const ISSUERS_MAX: usize = 4;
/// Length of a URL, an issuer, an audience or a claim's name as configured, bytes.
pub const SETTING_BYTES_MAX: usize = 512;
/// Audiences that one provider accepts.
pub const AUDIENCES_MAX: usize = 8;
/// Shortest shared secret, bytes: as long as the hash it is used with (RFC 7518, 3.2).
pub const SHARED_SECRET_BYTES_MIN: usize = 32;
/// Longest shared secret, bytes.
pub const SHARED_SECRET_BYTES_MAX: usize = 1_024;
/// Length of a kept claim's name, bytes: it travels in tokens.
pub use crate::accounts::limits::TOKEN_FACT_NAME_BYTES_MAX;
/// Claims beside e-mail and subject that a provider's users keep for access rules.
pub const KEPT_CLAIMS_MAX: usize = 14;
/// All kept claims of one user together, names and values, bytes.
pub const KEPT_BYTES_MAX: usize = 1_024;

/// Longest JWT that is looked at, bytes.
pub const JWT_BYTES_MAX: usize = 8 * 1_024;
/// How long a JWT counts after it was made, whatever it says, seconds: revocations are remembered as long.
pub const JWT_AGE_SECS_MAX: u64 = crate::accounts::limits::TOKEN_TTL_SECS_MAX as u64;
/// Longest key id, bytes.
pub const KID_BYTES_MAX: usize = 256;
/// Largest answer of a provider's server, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// Keys of one set; more are ignored.
pub const KEYS_PER_SET_MAX: usize = 64;
/// Key sets that are remembered, at most about 64 KiB each, usually 2. The one fetched longest ago makes room.
pub const KEY_SETS_MAX: usize = 4_096;
/// Fetches at once, over all organizations. One more is refused as if the server could not be reached.
pub const FETCHES_MAX: usize = 32;
/// Organizations, and e-mail addresses, of one certificate that are looked at.
pub const CERTIFICATE_NAMES_MAX: usize = 8;
/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 4;
