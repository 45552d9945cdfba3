//! Every bound of the directory. It lives in memory as a whole; worst case about 300 bytes a user.

/// Organizations on one server.
pub const ORGS_MAX: usize = 100_000;
/// Users of one organization.
pub const USERS_PER_ORG_MAX: usize = 1_000_000;
/// Keys of one organization, without those of logins.
pub const KEYS_PER_ORG_MAX: usize = 100;
/// Shortest life of a key that ends, seconds.
pub const KEY_LIFE_SECS_MIN: u64 = 60;
/// Longest life of a key that ends, seconds: ten years.
pub const KEY_LIFE_SECS_MAX: u64 = 10 * 366 * 86_400;
/// How long a key that is replaced may stay good, seconds: 30 days.
pub const KEY_GRACE_SECS_MAX: u64 = 30 * 86_400;
/// Members of one organization.
pub const MEMBERS_PER_ORG_MAX: usize = 100;
/// Logins of one member at once. The oldest makes room.
pub const LOGINS_PER_MEMBER_MAX: usize = 10;
/// How long a login lasts, seconds: 30 days.
pub const LOGIN_SECS: u64 = 30 * 86_400;
/// Organizations in which a password is tried when a login names none.
pub const LOGIN_ORGS_MAX: usize = 4;
/// Entries in the audit trail of one organization. The oldest makes room.
pub const AUDIT_ENTRIES_MAX: u64 = 10_000;
/// How long entries of the audit trail are kept, seconds: 90 days.
pub const AUDIT_SECS_MAX: u64 = 90 * 86_400;
/// Length of the name of an organization or a key, bytes.
pub const TITLE_BYTES_MAX: usize = 100;
/// Length of a user's name, bytes.
pub const USER_NAME_BYTES_MAX: usize = 128;
/// Shortest password that may be set, bytes.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Longest password of a user, bytes. Longer ones are refused before they are hashed.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest e-mail address, bytes (RFC 5321).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Entries in one page of a list.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// How long a token lives if nobody says otherwise, seconds.
pub const TOKEN_TTL_SECS_DEFAULT: u32 = 3_600;
/// Shortest life of a token, seconds.
pub const TOKEN_TTL_SECS_MIN: u32 = 60;
/// Longest life of a token, seconds. Marks about tokens are kept this long: no older token is valid.
pub const TOKEN_TTL_SECS_MAX: u32 = 86_400;
/// Revoked tokens of one organization that may still be within their life. One more is refused.
pub const TOKENS_REVOKED_MAX: usize = 100_000;
/// Principals of one organization whose earlier tokens were replaced within a day, and as many whose tokens
/// were revoked together. One more is refused.
pub const TOKENS_REPLACED_MAX: usize = 1_000_000;
/// Identity providers of one organization whose tokens were revoked together within a day. One more is refused.
pub const TOKEN_PROVIDERS_CUT_MAX: usize = 1_000;
/// Renewed tokens of one organization whose deadline is remembered. The one that ends first makes
/// room: a client that reconnects with that token's first password is then held to that one's end.
pub const TOKENS_RENEWED_MAX: usize = 1_000_000;
/// Tokens of one organization that the list shows. The one that ends first makes room.
pub const TOKENS_SEEN_MAX: usize = 100_000;
/// Longest name of an identity provider, bytes.
pub const PROVIDER_NAME_BYTES_MAX: usize = 64;
/// Facts of an identity provider that a token carries.
pub const TOKEN_FACTS_MAX: usize = 16;
/// Names and values of these facts together, bytes.
pub const TOKEN_FACTS_BYTES_MAX: usize = 1_024;
/// Longest name of a fact, bytes.
pub const TOKEN_FACT_NAME_BYTES_MAX: usize = 64;
/// Filters of a token's scope together, bytes.
pub const TOKEN_SCOPE_BYTES_MAX: usize = 1_024;

/// Changes that a listener of the directory may fall behind before it must read everything anew.
pub const EVENTS_MAX: usize = 4_096;
/// Commands that wait for the listener in its queue; more wait in front of it.
pub const WAITING_COMMANDS_MAX: usize = 64;
/// How exact the stored "last used" of a key is, seconds: it is written at most this often.
pub const LAST_USED_STEP_SECS: u64 = 300;
