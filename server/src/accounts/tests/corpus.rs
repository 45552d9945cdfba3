//! The committed seeds of the fuzz targets that are about names and credentials.

use std::fs;
use std::path::Path;

use crate::accounts::names::LoginName;
use crate::accounts::secret::SigningKey;
use crate::accounts::token::Unverified;

/// Whether a seed's name says that it is good, and its content. What a run of the fuzzer has left there is passed over.
fn seeds(target: &str) -> Vec<(String, bool, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds = files.filter_map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_good = name.starts_with("good-");
        (is_good || name.starts_with("bad-")).then(|| (name, is_good, fs::read_to_string(path).unwrap()))
    });
    seeds.collect()
}

#[test]
fn user_names_are_read_as_they_are_meant() {
    let seeds = seeds("login_name");
    assert!(seeds.len() > 15, "the corpus is there");
    for (name, is_good, text) in seeds {
        assert_eq!(LoginName::parse(&text).is_some(), is_good, "{name}");
    }
}

#[test]
fn tokens_are_read_and_verify_with_the_key_that_signed_them() {
    let key: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let key = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key);
    let key: SigningKey = serde_json::from_value(key.into()).unwrap();
    let seeds = seeds("credential");
    assert!(seeds.len() > 8, "the corpus is there");
    for (name, is_good, text) in seeds {
        let verified = Unverified::parse(&text).and_then(|token| token.verify(&key));
        assert_eq!(verified.is_some(), is_good, "{name}");
        let foreign = Unverified::parse(&text).and_then(|token| token.verify(&SigningKey::generate()));
        assert_eq!(foreign, None, "{name}");
    }
}
