//! The log: to stderr, at the level that the operator asks for, without what must never be in one.
//!
//! The crates below us log whole frames and request heads at their lower levels. No filter that
//! anybody can set lets those through: of other crates only warnings and errors are logged. Our own
//! lines name no room, no signal and no address in the first place.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets, filter_fn};
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
    /// A word that is no level would be taken as the name of a module, and nothing else logged at all.
    #[error("--log \"{filter}\": \"{word}\" is not a level: use error, warn, info, debug or trace, or MODULE=LEVEL")]
    Level {
        /// What was given.
        filter: String,
        /// The part of it.
        word: String,
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
    let filter = parse(filter)?;
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

/// By module and level alone: filters on fields need regular expressions, a fifteenth of the program.
fn parse(filter: &str) -> Result<Targets, LogError> {
    // Nothing at all would be read as "error".
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    if let Some(word) = filter.split(',').find(|part| !part.contains('=') && !is_level(part)) {
        return Err(LogError::Level { filter: filter.to_owned(), word: word.to_owned() });
    }
    filter.parse().map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
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
    fn a_filter_has_levels_for_all_or_for_a_module() {
        assert!(parse("debug").expect("a level").would_enable("signal_srv::hub", &Level::DEBUG));
        let filter = parse("warn,signal_srv::cluster=trace").expect("a filter");
        assert!(filter.would_enable("signal_srv::cluster::link", &Level::TRACE));
        assert!(!filter.would_enable("signal_srv::hub", &Level::INFO));
        for (wrong, why) in
            [("loud", "\"loud\" is not a level"), ("info,", "\"\" is not a level"), ("hub=loud", "level")]
        {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn only_our_own_crates_are_ours() {
        assert!(is_ours("signal_srv"));
        assert!(is_ours("signal_srv::connection"));
        assert!(!is_ours("signal_srv_impostor"));
        assert!(!is_ours("tungstenite::protocol"));
        assert!(!is_ours("log"));
    }
}
