//! The program `cloudsignal` as a shell sees it: words in, lines and an exit code out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bench;
mod foreign_broker;
mod own_broker;
mod process;

use process::{cloudsignal, stderr, stdout};

#[test]
fn every_command_helps_by_example() {
    let commands = [
        &["serve"][..],
        &["pub"],
        &["sub"],
        &["bench"],
        &["org"],
        &["user"],
        &["key"],
        &["token"],
        &["acl"],
        &["config"],
        &["completions"],
    ];
    for command in commands {
        let output = cloudsignal(&[command, &["--help"]].concat()).output().unwrap();
        assert!(output.status.success(), "{command:?} --help failed");
        let help = stdout(&output);
        assert!(
            help.contains("Examples:\n  "),
            "{command:?} --help shows no example:\n{help}"
        );
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let wrong = [
        (&["dance"][..], "unrecognized subcommand"),
        (&["pub", "-t", "a"], "--message"),
        (&["pub", "-t", "a/#", "-m", "x"], "wildcard"),
        (&["sub"], "--topic"),
        (&["sub", "-t", "a", "-q", "3"], "QoS is 0, 1 or 2"),
        (&["sub", "-t", "a", "--url", "http://localhost"], "mqtt://"),
        (&["bench", "pairs", "--payload", "23"], "--payload"),
        (&["org", "delete", "org_x"], "--yes"),
        (&["acl", "set"], "FILE"),
    ];
    for (words, expected) in wrong {
        let output = cloudsignal(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(expected),
            "{words:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_broker_that_is_not_there_ends_with_3() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("mqtt://127.0.0.1:{port}");
    let output = cloudsignal(&["pub", "-t", "a", "-m", "x", "--url", &url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains(&url), "{}", stderr(&output));

    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let output = cloudsignal(&["user", "list", "--data-dir", data_dir])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("cloudsignal serve --data-dir"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_printed_configuration_says_the_defaults() {
    let output = cloudsignal(&["config"]).output().unwrap();
    assert!(output.status.success());
    assert!(stdout(&output).contains("#mqtts = \"0.0.0.0:8883\""));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = cloudsignal(&["completions", shell]).output().unwrap();
        assert!(
            output.status.success() && stdout(&output).contains("cloudsignal"),
            "{shell}"
        );
    }
}
