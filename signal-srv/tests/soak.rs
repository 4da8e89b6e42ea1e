//! Half a minute of everything at once; `cargo xtask soak signal --minutes N` is the same for longer, on the release build.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use signal_load::soak::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_minute_of_trouble_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        server: PathBuf::from(env!("CARGO_BIN_EXE_signal-srv")),
        lasts: Duration::from_secs(24),
        seed: 6,
        crowd: None,
        owns_network: false,
        folder: dir.path().to_owned(),
        says: false,
    };
    let report = match soak::run(&options).await {
        Ok(report) => report,
        Err(error) => panic!("{error:?}"),
    };
    println!("{report}");
    // It says nothing if nothing has happened.
    for (name, least) in
        [("join", 300), ("signal", 500), ("vanish", 20), ("reconnect storm", 2), ("new certificate", 2)]
    {
        assert!(report.count(name) >= least, "{name}: {report}");
    }
    // Of each kind of trouble there was one: 13 in rooms, 15 outside of them, the rest besides.
    assert!(report.names().count() > 28, "{report}");
}
