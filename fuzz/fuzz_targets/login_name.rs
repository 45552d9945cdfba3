//! Any text as a user name, an organization, a new user's name and an e-mail address.
//!
//! Parsing answers and agrees with the definition; no text names two organizations; what may become a user logs in
//! as just that user; what an e-mail address becomes is safe in a topic.
#![no_main]

use cloudsignal_server::accounts::limits::{EMAIL_BYTES_MAX, USER_NAME_BYTES_MAX};
use cloudsignal_server::accounts::names::{Email, LoginName, OrgRef, SERVER_USER, check_user_name};
use libfuzzer_sys::fuzz_target;

const ORG: &str = "org_abcdefgh2345";

fuzz_target!(|input: &str| {
    check_org(input);
    check_login(input);
    check_new_user(input);
    check_email(input);
});

fn check_org(text: &str) {
    match OrgRef::parse(text) {
        Some(OrgRef::Id(id)) => {
            assert!(is_id(text));
            assert_eq!(id.as_str(), text, "one organization has one short id");
        }
        Some(OrgRef::Uuid(uuid)) => {
            assert!(is_uuid(text));
            assert_eq!(uuid.hyphenated().to_string(), text.to_ascii_lowercase());
        }
        None => assert!(!is_id(text) && !is_uuid(text)),
    }
}

fn check_login(text: &str) {
    let parts: Vec<&str> = text.split('@').collect();
    let org = parts[parts.len() - 1];
    let name = parts[..parts.len() - 1].join("@");
    match LoginName::parse(text) {
        Some(login) => {
            assert_eq!(login.name, name);
            assert_eq!(Some(login.org), OrgRef::parse(org));
            assert!(!name.is_empty());
        }
        None => assert!(name.is_empty() || !is_id(org) && !is_uuid(org)),
    }
}

fn check_new_user(name: &str) {
    if check_user_name(name).is_err() {
        return;
    }
    assert!((1..=USER_NAME_BYTES_MAX).contains(&name.len()));
    assert!(name != SERVER_USER && !name.starts_with('$'));
    assert!(!name.contains(['/', '+', '#', '\0', ' ']));
    let login = format!("{name}@{ORG}");
    let parsed = LoginName::parse(&login).expect("a user can log in");
    assert_eq!(parsed.name, name);
    assert_eq!(Some(parsed.org), OrgRef::parse(ORG));
}

fn check_email(text: &str) {
    let Ok(email) = Email::parse(text) else { return };
    assert!(email.as_str().len() <= EMAIL_BYTES_MAX);
    assert!(email.as_str().eq_ignore_ascii_case(text));
    assert_eq!(
        Email::parse(email.as_str()).as_ref(),
        Ok(&email),
        "one address has one spelling"
    );
    let name = email.user_name();
    assert!(
        name.chars()
            .all(|char| char.is_ascii_alphanumeric() || "-_".contains(char))
    );
    assert_eq!(name.len(), email.as_str().chars().count());
    let login = format!("{name}@{ORG}");
    assert_eq!(LoginName::parse(&login).expect("it can log in").name, name);
}

/// `org_` and twelve characters of base32.
fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 16
        && &bytes[..4] == b"org_"
        && bytes[4..]
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
