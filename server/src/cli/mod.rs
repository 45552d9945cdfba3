//! The command line: one binary, one subcommand per thing people do.
//!
//! | file | subcommand |
//! |---|---|
//! | [`serve`] | `serve`: run the broker |
//! | [`client`] | `pub`, `sub`: a real MQTT client |
//! | [`mod@bench`] | `bench`: how fast a broker is |
//! | [`admin`] | `org`, `user`, `member`, `key`, `token`, `provider`, `acl`, …: administration of a running broker |
//! | [`backup`] | `backup`, `restore`: everything that is stored, in one file, and back |
//! | [`store`] | `store`: the data folder of a broker that does not run |
//! | [`exit`] | exit codes |
//! | [`output`] | what is printed, and what happens when nobody reads it |

pub mod admin;
pub mod backup;
pub mod bench;
pub mod client;
#[cfg(test)]
mod examples;
pub mod exit;
pub mod output;
pub mod serve;
pub mod store;

use core::future::Future;
use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use admin::{
    AclArgs, AdminArgs, AuditArgs, KeyArgs, LoginArgs, LogoutArgs, MemberArgs, Order, OrgArgs, ProviderArgs,
    QuotaArgs, SessionArgs, TokenArgs, UsageArgs, UserArgs, WhoAmIArgs,
};
use backup::{BackupArgs, RestoreArgs};
use bench::BenchArgs;
use client::{PubArgs, SubArgs};
use exit::{Exit, Failure};
use output::{Output, remark};
use serve::ServeArgs;
use store::StoreArgs;

use crate::config;

/// The command line of `cloudsignal`.
#[derive(Debug, Parser)]
#[command(name = "cloudsignal", version, about, long_about = None, after_help = EXAMPLES)]
#[command(about = "An MQTT broker for teams that run it themselves, and the tools to use it")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Everything the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker
    Serve(ServeArgs),
    /// Publish messages
    Pub(PubArgs),
    /// Subscribe, and print messages as they arrive
    Sub(SubArgs),
    /// Measure a broker, and check that every message arrives
    Bench(BenchArgs),
    /// Make, list and remove organizations
    Org(OrgArgs),
    /// Make, list and remove users
    User(UserArgs),
    /// Make, list, change and remove people who manage an organization
    Member(MemberArgs),
    /// Make, list, rotate and revoke keys
    Key(KeyArgs),
    /// Make, refresh and revoke logins that end by themselves
    Token(TokenArgs),
    /// Say whose users may log in with the tokens they have
    Provider(ProviderArgs),
    /// Show or replace the access rules
    Acl(AclArgs),
    /// Show who changed what
    Audit(AuditArgs),
    /// Log in as a member of an organization
    Login(LoginArgs),
    /// End the login
    Logout(LogoutArgs),
    /// Show who commands are from
    Whoami(WhoAmIArgs),
    /// List, show and disconnect clients, and see how their connections ended
    Session(SessionArgs),
    /// Show or set what an organization may use
    Quota(QuotaArgs),
    /// Show what an organization has used
    Usage(UsageArgs),
    /// Write everything that is stored into one file; the broker may run
    Backup(BackupArgs),
    /// Put what a backup holds into a data folder
    Restore(RestoreArgs),
    /// Look into the data folder of a broker that does not run
    Store(StoreArgs),
    /// Print the default configuration file, with every key explained
    #[command(after_help = CONFIG_EXAMPLES)]
    Config,
    /// Print the completions of a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal serve                                     run a broker; the first start needs no configuration
  cloudsignal sub -t 'rooms/#' -v                       print what is published
  cloudsignal pub -t rooms/1/light -m on                publish
  cloudsignal user create alice                         let somebody in
`cloudsignal COMMAND --help` shows more.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  cloudsignal config > cloudsignal.toml
  cloudsignal serve --config cloudsignal.toml
A key `section.name` is also the environment variable CLOUDSIGNAL_SECTION_NAME.";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  cloudsignal completions bash > ~/.local/share/bash-completion/completions/cloudsignal
  cloudsignal completions zsh  > ~/.zfunc/_cloudsignal
  cloudsignal completions fish > ~/.config/fish/completions/cloudsignal.fish";

/// Does what the command line says, and tells how it ended.
#[must_use]
pub fn run(cli: Cli) -> Exit {
    let result = match cli.command {
        Command::Serve(args) => run_broker(&args),
        Command::Pub(args) => block_on(client::publish(args)),
        Command::Sub(args) => block_on(client::subscribe(args)),
        Command::Bench(args) => bench::bench(args),
        Command::Org(args) => manage(args.admin, args.action.order()),
        Command::User(args) => manage(args.admin, args.action.order(args.org)),
        Command::Member(args) => manage(args.admin, args.action.order(args.org)),
        Command::Provider(args) => block_on(admin::provider(args)),
        Command::Key(args) => manage(args.admin, args.action.order(args.org)),
        Command::Token(args) => manage(args.admin, args.action.order(args.org)),
        Command::Acl(args) => block_on(admin::acl(args)),
        Command::Audit(args) => block_on(admin::audit(args)),
        Command::Login(args) => block_on(admin::login(args)),
        Command::Logout(args) => block_on(admin::logout(args)),
        Command::Whoami(args) => block_on(admin::who_am_i(args)),
        Command::Session(args) => block_on(admin::session(args)),
        Command::Quota(args) => block_on(admin::quota(args)),
        Command::Usage(args) => block_on(admin::usage(args)),
        Command::Backup(args) => block_on(backup::backup(args)),
        Command::Restore(args) => backup::restore(&args),
        Command::Store(args) => store::run(&args),
        Command::Config => print(config::document::document().as_bytes()),
        Command::Completions { shell } => completions(shell),
    };
    let Err(failure) = result else { return Exit::Done };
    if failure.exit() != Exit::Done {
        remark(format_args!("error: {failure}"));
    }
    failure.exit()
}

fn run_broker(args: &ServeArgs) -> Result<(), Failure> {
    // A standard output that nobody reads is no reason to stop: what it shows is also kept in a file.
    crate::serve::serve(args, |text| drop(print(text.as_bytes())))?;
    Ok(())
}

fn manage(admin: AdminArgs, order: Result<Order, Failure>) -> Result<(), Failure> {
    block_on(admin::manage(admin, order?))
}

/// Runs a command that waits for the network. One thread is enough for a client.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system gives no event queue")?;
    let result = runtime.block_on(command);
    // A read of standard input may still be waiting; it must not keep the program.
    runtime.shutdown_background();
    result
}

/// Environment variables that some command reads.
pub(crate) fn variables() -> BTreeSet<String> {
    let (mut names, mut commands) = (BTreeSet::new(), vec![Cli::command()]);
    while let Some(command) = commands.pop() {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        names.extend(variables.filter_map(|name| Some(name.to_str()?.to_owned())));
        commands.extend(command.get_subcommands().cloned());
    }
    names
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cloudsignal", &mut script);
    print(&script)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut output = Output::stdout();
    output.write(text)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn variables_of_every_command_are_known() {
        let known = variables();
        for name in ["CONFIG", "PROFILE", "PROFILES", "URL", "ORG", "USER", "PASSWORD"] {
            let name = format!("CLOUDSIGNAL_{name}");
            assert!(known.contains(&name), "{name}: {known:?}");
        }
    }
}
