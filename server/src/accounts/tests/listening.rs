//! Commands are answered when open connections have felt what they change.

use super::*;

fn rename(org: &OrgView) -> Command {
    Command::OrgRename {
        org: org.id.clone(),
        name: "Another".into(),
    }
}

fn suspend(org: &OrgView) -> Command {
    Command::OrgSuspend { org: org.id.clone() }
}

#[tokio::test]
async fn a_command_is_answered_when_the_listener_has_acted() {
    let bench = bench().await;
    let org = bench.org().await;
    let mut listener = bench.directory.listen();
    let (directory, command) = (bench.directory.clone(), suspend(&org));
    let carried_out = tokio::spawn(async move { directory.execute(command).await });

    let command = listener.waiting.recv().await.unwrap();
    assert_eq!(next(&mut listener.events), Some(AccountChange::OrgSuspended));
    assert!(!carried_out.is_finished(), "nobody has said that it is felt");
    command.send(()).unwrap();
    carried_out.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_no_connection_feels_waits_for_nobody() {
    let bench = bench().await;
    let org = bench.org().await;
    let listener = bench.directory.listen();
    bench.run(rename(&org)).await.unwrap();
    drop(listener);
    // With the listener all connections are gone.
    bench.run(suspend(&org)).await.unwrap();
}
