//! The many ways to write an organization's two ids. Two of them are right: the short id as it is, and the hyphenated
//! UUID in any case.

use cloudsignal_tests::random::Random;

/// A spelling, and whether it names the organization.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spelling {
    pub(crate) text: String,
    pub(crate) is_right: bool,
}

/// Writes the ids of an organization in some way.
pub(crate) fn spell(random: &mut Random, id: &str, uuid: &str) -> Spelling {
    let right = [
        id.to_owned(),
        uuid.to_owned(),
        uuid.to_uppercase(),
        mixed_case(random, uuid),
    ];
    let simple = uuid.replace('-', "");
    let random_part = id.trim_start_matches("org_");
    let wrong = [
        simple.clone(),
        format!("{{{uuid}}}"),
        format!("urn:uuid:{uuid}"),
        // As long as a hyphenated one.
        format!("{simple}----"),
        format!(
            "{}0",
            uuid.get(..35)
                .unwrap_or_default()
                .replace(char::is_alphanumeric, "g")
        ),
        id.to_uppercase(),
        format!("ORG_{random_part}"),
        random_part.to_owned(),
        format!("{id} "),
        format!(" {id}"),
        format!("{id}\n"),
        format!("{id}."),
        format!("{id}/"),
        format!("{id}%00"),
        format!("{id}\u{200B}"),
        id.replacen("org_", "org%5F", 1),
        id.replacen("org_", "org-", 1),
        format!("org_{id}"),
        "org_aaaaaaaaaaaa".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        String::new(),
        "#".to_owned(),
    ];
    if random.chance(40) {
        let text = random.pick(&right).clone();
        return Spelling { text, is_right: true };
    }
    let text = random.pick(&wrong).clone();
    // What is wrong for most ids may be right for this one.
    let is_right = right.contains(&text);
    Spelling { text, is_right }
}

fn mixed_case(random: &mut Random, uuid: &str) -> String {
    uuid.chars()
        .map(|char| {
            if random.chance(50) {
                char.to_ascii_uppercase()
            } else {
                char
            }
        })
        .collect()
}
