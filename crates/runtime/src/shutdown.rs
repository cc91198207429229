//! Signals: the first asks the process to stop, the second ends it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Signal handlers that could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("install signal handlers: {0}")]
pub struct SignalError(#[from] io::Error);

/// Returns a token that SIGTERM or SIGINT cancels. A second signal ends the process with status 1.
///
/// Must be called inside a runtime, once per process.
pub fn on_signal() -> Result<CancellationToken, SignalError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let signal = either(&mut terminate, &mut interrupt).await;
        info!(signal, "shutting down");
        cancelled.cancel();
        let signal = either(&mut terminate, &mut interrupt).await;
        error!(signal, "second signal: ending at once");
        std::process::exit(1);
    });
    Ok(token)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
