//! Many sessions, without holding the organization for long.

use std::ops::ControlFlow;

use cloudsignal_broker::org::SessionView;

use super::ApiError;
use crate::orgs::cell::{OrgCell, Origins};

/// Sessions that are looked at in one hold: some tens of microseconds.
const HOLD_LOOKS_MAX: usize = 512;
/// Sessions that one request looks at; what lies behind waits for the next page.
const REQUEST_LOOKS_MAX: usize = 131_072;

/// Which sessions are meant. All that is given has to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) client_id: Option<String>,
    pub(super) username: Option<String>,
    /// Part of the client id or of the user name.
    pub(super) search: Option<String>,
    pub(super) connected: Option<bool>,
}

impl Filter {
    fn is(&self, view: &SessionView<'_>) -> bool {
        let (client_id, username) = (view.client_id, &*view.identity.username);
        self.connected.is_none_or(|wanted| view.connected == wanted)
            && self
                .client_id
                .as_ref()
                .is_none_or(|wanted| **wanted == *client_id)
            && self.username.as_ref().is_none_or(|wanted| **wanted == *username)
            && self
                .search
                .as_ref()
                .is_none_or(|part| client_id.contains(&**part) || username.contains(&**part))
    }
}

/// Where to go on: the place of a session, which it keeps for life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let place = text.parse().ok().map(Self);
        place.ok_or_else(|| ApiError::invalid_request("after is no cursor of ours"))
    }

    pub(super) fn text(self) -> String {
        self.0.to_string()
    }
}

/// Part of the sessions that are meant.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) found: Vec<T>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<Place>,
}

/// Looks for sessions from a place on, in short holds, until `limit` are found or [`REQUEST_LOOKS_MAX`] looked at.
pub(super) async fn find<T>(
    cell: &OrgCell,
    filter: &Filter,
    from: Place,
    limit: usize,
    show: impl Fn(&SessionView<'_>, Origins<'_>) -> T,
) -> Found<T> {
    let mut found = Vec::new();
    // With its client id there is nothing to search.
    if let Some(client_id) = &filter.client_id {
        if from == Place::default() {
            cell.inspect(|org, origins| {
                let view = org.session(client_id).filter(|view| filter.is(view));
                found.extend(view.map(|view| show(&view, origins)));
            });
        }
        return Found { found, next: None };
    }
    let (mut next, mut looks) = (Some(from), 0);
    while let Some(Place(place)) = next.filter(|_| looks < REQUEST_LOOKS_MAX && found.len() < limit) {
        if looks > 0 {
            tokio::task::yield_now().await;
        }
        looks += HOLD_LOOKS_MAX;
        next = cell.inspect(|org, origins| {
            let next = org.visit_sessions(place, HOLD_LOOKS_MAX, |view| {
                if filter.is(&view) {
                    found.push(show(&view, origins));
                }
                if found.len() >= limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            next.map(Place)
        });
    }
    Found { found, next }
}

#[cfg(test)]
mod tests;
