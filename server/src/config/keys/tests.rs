//! The keys, one by one.

use super::*;
use crate::config::value::Raw;

#[test]
fn names_are_unique_and_every_key_says_what_it_is() {
    let mut names: Vec<_> = all().map(Key::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all().count());
    for key in all() {
        assert!(key.doc.ends_with('.'), "{}", key.name);
        let is_number = matches!(key.kind, Kind::Integer { .. });
        assert_eq!(is_number, !key.unit.is_empty(), "{} and its unit", key.name);
    }
}

#[test]
fn every_default_is_within_its_own_bounds_and_is_written_where_it_is_read() {
    for key in all() {
        let default = (key.read)(&Config::default());
        let raw = match &default {
            Value::Integer(number) => Raw::Text(number.to_string()),
            Value::Text(text) => Raw::Text(text.clone()),
            Value::Path(path) => Raw::Text(path.clone().unwrap_or_default().display().to_string()),
            Value::Listen(listen) => Raw::Text(listen.to_string()),
            Value::List(items) => Raw::List(items.clone()),
        };
        assert_eq!(key.kind.check(&raw).as_ref(), Ok(&default), "{}", key.name);
        let mut config = Config::default();
        (key.write)(&mut config, default);
        assert_eq!(config, Config::default(), "{}", key.name);
    }
}

#[test]
fn every_limit_of_an_organization_can_be_set() {
    let shown = format!("{:?}", Config::default().limits);
    let fields = shown.trim_start_matches("Limits { ").split(", ");
    for field in fields {
        let name = field.split_once(':').map_or(field, |(name, _)| name);
        assert!(
            find(&format!("limits.{name}")).is_some(),
            "limits.{name} has no key"
        );
    }
}

#[test]
fn the_bounds_of_a_number_fit_its_field() {
    for key in all() {
        let Kind::Integer { min, max } = key.kind else {
            continue;
        };
        for bound in [min, max] {
            let mut config = Config::default();
            (key.write)(&mut config, Value::Integer(bound));
            assert_eq!((key.read)(&config), Value::Integer(bound), "{}", key.name);
        }
    }
}

#[test]
fn origins_have_a_scheme_and_no_path() {
    assert!(check_origin("https://app.example.com").is_ok());
    assert!(check_origin("http://localhost:3000").is_ok());
    for wrong in [
        "app.example.com",
        "https://",
        "https://a/b",
        "https://*.example.com",
        "*",
    ] {
        assert!(check_origin(wrong).is_err(), "{wrong}");
    }
}
