//! What cards go through.

mod cuts;
mod data;
mod late;
mod lives;
mod people;
mod stream;

use anyhow::Result;

use super::ground::Ground;

pub(crate) use stream::{MARKS, memory_in_use};

/// Some checks that share a card.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Ground<'_>) -> Result<()>,
}

/// Alone on the machine: figures are taken.
pub(crate) const ALONE: &[Scenario] = &[Scenario { name: "stream", run: stream::run }];

/// Two at a time, the longest first.
pub(crate) const TOGETHER: &[Scenario] = &[
    Scenario { name: "cuts-spread", run: cuts::spread },
    Scenario { name: "cuts-writes", run: cuts::at_writes },
    Scenario { name: "lives", run: lives::run },
    Scenario { name: "late", run: late::run },
    Scenario { name: "settings", run: people::settings_and_keys },
    Scenario { name: "nothing", run: people::nothing },
    Scenario { name: "data-full", run: data::full },
    Scenario { name: "data-read-only", run: data::read_only },
    Scenario { name: "data-damaged", run: data::damaged },
    Scenario { name: "data-missing", run: data::missing },
    Scenario { name: "clock", run: late::clock },
];
