//! What has to hold whatever clients do, and whenever. The bodies of the fuzz targets in `fuzz/`; the tests here run them on
//! random scripts and on seeds that were changed a little, with every `cargo test`.
//!
//! The bytes are a script: what who does next. A body panics where something is wrong.

mod connection;
mod rooms;
mod script;

pub use connection::connection;
pub use rooms::rooms;

/// A body.
pub type Body = fn(&[u8]);

/// All of them, by the names of their targets.
pub const BODIES: &[(&str, Body)] = &[("connection", connection), ("rooms", rooms)];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    /// What cargo-fuzz begins with, and found.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    }

    fn all_seeds() -> Vec<(Body, Vec<u8>)> {
        let of = |(name, body): &(&str, Body)| seeds(name).into_iter().map(|seed| (*body, seed)).collect::<Vec<_>>();
        BODIES.iter().flat_map(of).collect()
    }

    #[test]
    fn every_target_has_seeds_and_they_hold() {
        for (name, body) in BODIES {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has none");
            seeds.iter().for_each(|seed| body(seed));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn random_scripts_do_no_harm(script in prop::collection::vec(any::<u8>(), 0..200)) {
            for (_, body) in BODIES {
                body(&script);
            }
        }

        #[test]
        fn seeds_that_were_changed_do_no_harm(
            seed in prop::sample::select(all_seeds()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, prop::collection::vec(any::<u8>(), 0..4)), 0..8),
        ) {
            let (body, mut script) = seed;
            for (at, removed, instead) in changes {
                let at = at.index(script.len() + 1);
                let end = script.len().min(at + removed);
                script.splice(at..end, instead);
            }
            body(&script);
        }
    }
}
