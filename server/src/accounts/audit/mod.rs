//! The audit trail: who changed what, and when.
//!
//! Every change that goes through the directory is an entry, stored in the commit of the change itself: there
//! is never one without the other. What changes nothing, because it is so already, is no entry. Sending
//! clients away changes connections and not the directory; its entry follows at once.
//!
//! An organization keeps the last [`AUDIT_ENTRIES_MAX`] entries, none for longer than [`AUDIT_SECS_MAX`]. What
//! makes, changes or removes whole organizations is kept for the operator too, under no organization.
//!
//! Making, exchanging and refreshing tokens are no entries, and no logins either: they are what applications do
//! all day, `replace_existing` with every token, and would push out what people did. Revoking tokens is one.

mod trail;

use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use cloudsignal_broker::OrgId;

use super::command::{CommandError, PageRequest};
use super::directory::Directory;
use super::limits::AUDIT_ENTRIES_MAX;
#[cfg(doc)]
use super::limits::AUDIT_SECS_MAX;
use super::record::{self, decode};
use crate::clock::WallTime;
use crate::store::{Commit, Entry, Key, Prefix, StoreError, Table};

pub(super) use trail::Trail;

/// Entries that are read at once.
const CHUNK_ENTRIES: u64 = 1_000;

/// Longest text that was not checked otherwise, in an entry, bytes.
const DETAIL_BYTES_MAX: usize = 256;

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the administration token, such as the command line on the server's own machine.
    Operator,
    /// Whoever has this key of the organization.
    Key {
        /// The key's id.
        id: Box<str>,
    },
    /// A member who logged in.
    Member {
        /// The member's e-mail address.
        email: Box<str>,
    },
    /// Whoever shows the credential that is changed, or signs up.
    Holder,
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => out.write_str("operator"),
            Self::Key { id } => write!(out, "key:{id}"),
            Self::Member { email } => write!(out, "member:{email}"),
            Self::Holder => out.write_str("holder"),
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Names the entry; later ones are greater.
    pub id: String,
    /// When it was made.
    pub at: WallTime,
    /// Who made it: `operator`, `key:key_…`, `member:ada@example.com` or `holder`.
    pub actor: String,
    /// What was done: `user_created`.
    pub action: String,
    /// What kind of thing was changed: `user`.
    pub entity: String,
    /// Which one.
    pub entity_id: String,
    /// More about the change, without secrets.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Only of this actor: `operator`, `key:key_…`, `member:ada@example.com` or `holder`.
    pub actor: Option<String>,
    /// Only this action: `user_created`.
    pub action: Option<String>,
    /// Only about this kind of thing: `user`.
    pub entity: Option<String>,
    /// Only about this one.
    pub entity_id: Option<String>,
    /// Only from then on.
    pub since: Option<WallTime>,
    /// Only before that.
    pub until: Option<WallTime>,
}

/// Newest first.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where to go on.
    pub next: Option<String>,
}

impl AuditFilter {
    fn wants(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        is(&self.actor, &entry.actor)
            && is(&self.action, &entry.action)
            && is(&self.entity, &entry.entity)
            && is(&self.entity_id, &entry.entity_id)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// Clients that were sent away.
#[derive(Clone, Debug)]
pub(crate) struct SentAway {
    /// Which one, if it was one.
    pub(crate) client_id: Option<String>,
    /// How they were chosen, if they were many: `("username", "ada")`.
    pub(crate) chosen_by: Vec<(&'static str, Value)>,
    /// Whether their sessions were to end too.
    pub(crate) forget: bool,
    /// How many connections were closed.
    pub(crate) disconnected: usize,
    /// How many sessions were ended.
    pub(crate) forgotten: usize,
}

impl Directory {
    /// Keeps an entry about clients that were sent away, if there were any. They are gone already, so an
    /// entry that cannot be stored is only logged.
    pub(crate) async fn note_sent_away(&self, actor: Actor, org: &OrgId, sent: SentAway) {
        let Some(account) = self.account_of(org) else {
            return;
        };
        if sent.disconnected == 0 && sent.forgotten == 0 {
            return;
        }
        let trail = Trail::new(actor, "sessions_disconnected", "session")
            .with("disconnected", sent.disconnected)
            .with("forget", sent.forget)
            .with("forgotten", sent.forgotten);
        let chosen_by = sent.chosen_by.into_iter();
        let trail = chosen_by.fold(trail, |trail, (name, value)| trail.with(name, short(value)));
        let trail = match sent.client_id {
            Some(client_id) => trail.about(&cut(client_id)),
            None => trail,
        };
        let commit = Commit::new();
        let kept = self.change(&account, trail, commit, None, |_, _| Vec::new());
        if let Err(error) = kept.await {
            tracing::error!(%org, %error, "an entry of the audit trail could not be stored");
        }
    }

    /// The audit trail of an organization, or the operator's own; newest first.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] for a cursor that is not ours, [`CommandError::NotFound`],
    /// [`CommandError::Storage`].
    pub async fn audit(
        &self,
        org: Option<&OrgId>,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<AuditPage, CommandError> {
        let account = match org {
            Some(org) => Some(self.account(org.as_str())?),
            None => None,
        };
        let (owner, next) = match &account {
            Some(account) => (Owner::Org(&account.id), account.state.read().audit_next),
            None => (Owner::Operator, *self.0.audit_next.lock()),
        };
        let mut before = match page.after.as_deref() {
            None => next,
            Some(cursor) => cursor_number(cursor)?.min(next),
        };
        let first = next.saturating_sub(AUDIT_ENTRIES_MAX);
        let mut entries = Vec::new();
        while before > first && entries.len() <= page.entries_max() {
            let from = before.saturating_sub(CHUNK_ENTRIES).max(first);
            let mut chunk = self.audit_chunk(owner, from, before).await.map_err(|error| {
                tracing::error!(%error, "the audit trail cannot be read");
                CommandError::Storage
            })?;
            chunk.reverse();
            entries.extend(chunk.into_iter().filter(|entry| filter.wants(entry)));
            before = from;
        }
        let next = page.next(&mut entries, |entry| entry.id.clone());
        Ok(AuditPage { entries, next })
    }

    /// Entries from number `from` up to but without `before`, oldest first.
    async fn audit_chunk(
        &self,
        owner: Owner<'_>,
        from: u64,
        before: u64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut after = from.checked_sub(1).map(|number| owner.key(number));
        let mut entries = Vec::new();
        loop {
            let most = usize::try_from(before - from).unwrap_or(usize::MAX);
            let page = self
                .0
                .store
                .scan(Table::Audit, &owner.prefix(), after.as_ref(), most)
                .await?;
            for entry in &page.entries {
                if entry.key >= owner.key(before) {
                    return Ok(entries);
                }
                entries.push(decode(entry)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Learns where the operator's own trail goes on.
    pub(super) fn load_audit(&self, entry: &Entry) -> Result<(), StoreError> {
        *self.0.audit_next.lock() = decode(entry)?;
        Ok(())
    }
}

/// Whose trail it is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Org(&'a OrgId),
    Operator,
}

impl Owner<'_> {
    fn key(self, number: u64) -> Key {
        let path = format!("{number:016x}");
        match self {
            Self::Org(org) => Key::of_org(org, &path),
            Self::Operator => Key::of_system(&path),
        }
    }

    fn next_key(self) -> Key {
        match self {
            Self::Org(org) => Key::of_org(org, record::AUDIT_NEXT),
            Self::Operator => Key::of_system(record::AUDIT_NEXT),
        }
    }

    fn prefix(self) -> Prefix {
        match self {
            Self::Org(org) => Prefix::of_org(org, ""),
            Self::Operator => Prefix::of_system(""),
        }
    }
}

/// Texts are cut, so that an entry stays small.
fn short(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value,
    }
}

fn cut(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
        text.push('…');
    }
    text
}

fn cursor_number(cursor: &str) -> Result<u64, CommandError> {
    u64::from_str_radix(cursor, 16)
        .map_err(|_| CommandError::invalid("after", "is no cursor of the audit trail"))
}
