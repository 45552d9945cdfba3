//! Lists, a page at a time, and the parameters of a query.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::accounts::command::PageRequest;
use crate::accounts::limits::PAGE_ENTRIES_MAX;

/// Entries of a page if nobody says otherwise.
pub const PAGE_ENTRIES_DEFAULT: usize = 100;
/// Length of a cursor, bytes.
const CURSOR_BYTES_MAX: usize = 512;

/// Which part of a list. Lists answer `next`: what to send as `after` for the part that follows, or null.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// At most so many entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// Begin after this one: the `next` of the page before.
    #[param(max_length = 512)]
    pub after: Option<String>,
}

impl PageParams {
    /// The part that is meant.
    ///
    /// # Errors
    /// 400 for a limit or a cursor that cannot be.
    pub fn page(self) -> Result<PageRequest, ApiError> {
        let limit = self.limit.unwrap_or(PAGE_ENTRIES_DEFAULT);
        if !(1..=PAGE_ENTRIES_MAX).contains(&limit) {
            let text = format!("limit must be 1 to {PAGE_ENTRIES_MAX}");
            return Err(ApiError::invalid_request(text));
        }
        if self
            .after
            .as_ref()
            .is_some_and(|after| after.len() > CURSOR_BYTES_MAX)
        {
            return Err(ApiError::invalid_request("after is no cursor of ours"));
        }
        Ok(PageRequest {
            after: self.after,
            limit: Some(limit),
        })
    }
}

/// The parameters of a query, refused in our own words.
///
/// For several structs, take several `Params`; unknown parameters are ignored.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|rejection| ApiError::invalid_request(rejection.body_text()))
    }
}

/// The name in a path: the one part that is not fixed. Refused in our own words.
#[derive(Clone, Debug)]
pub struct InPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(name)| Self(name))
            .map_err(|rejection| ApiError::invalid_request(rejection.body_text()))
    }
}
