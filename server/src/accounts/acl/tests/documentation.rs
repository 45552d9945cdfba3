//! The examples of `docs/access-control.md`: what its tables say is what the broker answers.

use std::collections::BTreeMap;

use serde_json::Value;

use cloudsignal_broker::OrgId;

use crate::accounts::acl::simulate::Action;
use crate::accounts::acl::{AclReport, Format, PolicyDocument, Question, Verdict, read_document, simulate};

const PAGE: &str = include_str!("../../../../../docs/access-control.md");

/// A fenced block: the word behind the fence, and the lines.
fn block(lines: &mut impl Iterator<Item = (usize, &'static str)>) -> String {
    let lines = lines.map(|(_, line)| line).take_while(|line| *line != "```");
    lines.map(|line| format!("{line}\n")).collect()
}

/// `ada, email=ada@example.com` does `publish QoS 1` to a topic.
fn question(who: &str, does: &str, topic: &str) -> Question {
    let mut parts = who.split(", ");
    let username = parts.next().unwrap().to_owned();
    let claims: BTreeMap<_, _> = parts
        .map(|claim| claim.split_once('=').expect("a claim"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (action, how) = does.split_once(' ').unwrap_or((does, ""));
    Question {
        username,
        client_id: String::new(),
        claims,
        topic: topic.to_owned(),
        action: serde_json::from_value(action.into()).expect("an action"),
        qos: how
            .strip_prefix("QoS ")
            .map_or(0, |qos| qos.parse().expect("a QoS")),
        retain: how == "retained",
        policy: None,
    }
}

/// As the column "answer" has it.
fn answer(question: &Question, verdict: &Verdict) -> String {
    let mut text = if verdict.allowed { "allowed" } else { "denied" }.to_owned();
    if let Some(qos) = verdict.granted_qos.filter(|granted| *granted != question.qos) {
        text += &format!(" at QoS {qos}");
    }
    if verdict.partly_kept_back == Some(true) {
        text += ", partly kept back";
    }
    text
}

#[test]
fn the_documentation_is_true() {
    let (mut document, mut report): (Option<PolicyDocument>, Option<AclReport>) = (None, None);
    let (mut formats, mut rows, mut reports) = (Vec::new(), 0, 0);
    let mut lines = (1..).zip(PAGE.lines());
    while let Some((number, line)) = lines.next() {
        if matches!(line, "```json" | "```text") {
            let text = block(&mut lines);
            let source: Value = read_document(text.as_bytes()).expect("it can be read");
            let parsed = PolicyDocument::parse(source);
            formats.extend(parsed.as_ref().ok().map(|document| document.format().name()));
            report = Some(match &parsed {
                Ok(document) => AclReport::of(document),
                Err(faults) => AclReport::of_faults(faults.clone()),
            });
            document = parsed.ok();
        } else if line == "```console" {
            reports += 1;
            assert_eq!(
                block(&mut lines),
                report.take().unwrap().to_string(),
                "line {number}"
            );
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let ([who, does, topic, said, by], Some(document)) = (cells.as_slice(), &document) else {
            continue;
        };
        if who.starts_with("---") || *who == "who" {
            continue;
        }
        rows += 1;
        let question = question(who, does, topic);
        let verdict = simulate(document, &OrgId::new("org_x"), &question).expect("a good question");
        let decided = verdict.rule.as_deref().unwrap_or("default");
        assert_eq!(
            (answer(&question, &verdict).as_str(), decided),
            (*said, *by),
            "line {number}: {line}"
        );
        let is_rule = verdict.rule.is_some();
        assert_eq!(
            verdict.rule_source.is_some(),
            is_rule,
            "line {number}: the rule is shown as it is written"
        );
        if question.action == Action::Subscribe && verdict.partly_kept_back == Some(false) {
            assert!(verdict.allowed);
        }
    }
    formats.dedup();
    let all = [
        Format::Policy,
        Format::Dashboard,
        Format::RuleSets,
        Format::PriorityList,
        Format::Text,
    ];
    assert!(
        all.iter().all(|format| formats.contains(&format.name())),
        "{formats:?}"
    );
    assert!(
        rows > 30 && reports == 2,
        "{rows} rows and {reports} reports: does this test still read the page?"
    );
}
