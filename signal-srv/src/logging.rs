//! The log: to stderr, at the level that the operator asks for, without what must never be in one.
//!
//! The crates below us log whole frames and request heads at their lower levels. No filter that
//! anybody can set lets those through: of other crates only warnings and errors are logged. Our own
//! lines name no room, no signal and no address in the first place.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, for programs.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("--log \"{filter}\" is neither a level (error, warn, info, debug, trace) nor a filter: {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// There is one already in this process.
    #[error("the log is set up already")]
    Twice,
}

/// Starts the log of this process.
///
/// # Errors
/// If `filter` is neither a level nor a filter.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        // A line's own fields beside its level and message; of a connection the one span that there is.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_filter(filter_fn(may_be_logged)))
        .try_init()
        .map_err(|_| LogError::Twice)
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata.target()) || *metadata.level() <= Level::WARN
}

fn is_ours(target: &str) -> bool {
    target.split("::").next().is_some_and(|krate| matches!(krate, "signal_srv" | "signal_proto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_crates_are_ours() {
        assert!(is_ours("signal_srv"));
        assert!(is_ours("signal_srv::connection"));
        assert!(!is_ours("signal_srv_impostor"));
        assert!(!is_ours("tungstenite::protocol"));
        assert!(!is_ours("log"));
    }
}
