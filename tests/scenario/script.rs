//! The scenario, read.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::folder;

/// One step: see `README.md`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) start: bool,
    pub(crate) runner: Option<Value>,
    pub(crate) harness: Option<Value>,
    #[serde(default)]
    pub(crate) expect: Vec<Value>,
    #[serde(default)]
    pub(crate) heard: Vec<Value>,
    pub(crate) exit: Option<i32>,
}

pub(crate) fn read() -> Vec<Step> {
    let text = fs::read_to_string(folder().join("scenario.json")).expect("the scenario is there");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("scenario.json: {error}"))
}

/// The same with `count` written out: so many, whose payloads end in their number.
pub(crate) fn expanded(events: &[Value]) -> Vec<Value> {
    events.iter().flat_map(all_of).collect()
}

fn all_of(event: &Value) -> Vec<Value> {
    let mut one = event.clone();
    let count = one
        .as_object_mut()
        .and_then(|fields| fields.shift_remove("count"));
    let Some(count) = count.and_then(|count| count.as_u64()) else {
        return vec![one];
    };
    let payload = one["payload"].as_str().unwrap_or_default().to_owned();
    let numbered = |number| {
        one["payload"] = format!("{payload}-{number}").into();
        one.clone()
    };
    (0..count).map(numbered).collect()
}
