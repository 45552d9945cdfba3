//! `cloudsignal serve`: from the flags to the end of the process.

use anyhow::Context as _;

use crate::cli::serve::ServeArgs;
use crate::config::Config;
use crate::idle_memory;
use crate::logging;
use crate::open_files;
use crate::server::Server;
use crate::shutdown::{Signals, Wish};

/// Runs the broker until it is told to stop. `print` shows a text to whoever started it.
///
/// # Errors
/// What keeps the broker from running, in words for an operator.
pub fn serve(args: &ServeArgs, print: impl FnOnce(&str)) -> anyhow::Result<()> {
    let config = Config::load(args)?;
    logging::start(&config.log);
    raise_file_limit(u64::from(config.connections.total_max));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if config.worker_threads > 0 {
        builder.worker_threads(config.worker_threads);
    }
    idle_memory::look_before_sleep(&mut builder, cloudsignal_memory::give_back);
    let runtime = builder
        .enable_all()
        .build()
        .context("the system gives no event queue")?;
    runtime.block_on(run(config, print))
}

async fn run(config: Config, print: impl FnOnce(&str)) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let mut server = Server::start(config).await?;
    tokio::spawn(idle_memory::wake_workers());
    if let Some(announcement) = server.take_announcement() {
        print(&announcement);
    }
    while signals.next().await == Wish::Reload {
        server.reload();
    }
    tokio::select! {
        () = server.stop() => tracing::info!("stopped"),
        () = told_again(&mut signals) => tracing::warn!("told to stop again: cutting everything"),
    }
    Ok(())
}

async fn told_again(signals: &mut Signals) {
    while signals.next().await != Wish::Stop {}
}

/// Every connection is an open file: asks the system for as many as it allows, and says so if they are too few.
fn raise_file_limit(connections_max: u64) {
    if let Err(files) = open_files::make_room(connections_max) {
        tracing::warn!(
            files,
            connections_max,
            "the system allows fewer open files than connections.total_max needs (ulimit -n)"
        );
    }
}
