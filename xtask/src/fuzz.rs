//! `cargo xtask fuzz TARGET`: what the property tests call, with inputs that a fuzzer looks for (libFuzzer, by cargo-fuzz).
//!
//! The compiler is the pinned one, allowed what is otherwise for nightly ones: coverage and the address sanitizer.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::run;
use crate::workspace;

/// The crates with targets in them.
const FOLDERS: [&str; 2] = ["signal-srv/proto/fuzz", "signal-srv/fuzz"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One of them; without a name, all, one after the other
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// How long each of them runs
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
}

/// Builds and runs them.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let all = targets()?;
    let wanted: Vec<_> = match &arguments.target {
        None => all,
        Some(name) => {
            let names = all.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>().join(", ");
            let found: Vec<_> = all.into_iter().filter(|(_, target)| target == name).collect();
            if found.is_empty() {
                bail!("there is no target {name}; there are {names}");
            }
            found
        }
    };
    install()?;
    for (folder, name) in wanted {
        let step = Step::begin(format!("Fuzz {name} for {} min", arguments.minutes));
        let here = workspace::target().join("fuzz");
        let (corpus, found) = (here.join("corpus").join(&name), here.join("found"));
        for folder in [&corpus, &found] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut fuzz = workspace::cargo();
        fuzz.args(["fuzz", "run", "--fuzz-dir", folder, "--target-dir"]).arg(here.join("build")).arg(&name);
        // What was found to be new is kept in the first of the two.
        fuzz.arg(&corpus).arg(workspace::root().join(folder).join("seeds").join(&name)).arg("--");
        fuzz.arg(format!("-max_total_time={:.0}", arguments.minutes * 60.0));
        fuzz.arg(format!("-artifact_prefix={}/{name}-", found.display()));
        fuzz.args(["-print_final_stats=1", "-verbosity=1", "-use_value_profile=1"]);
        fuzz.env("RUSTC_BOOTSTRAP", "1").env("PATH", path_with_tools()?);
        if let Err(error) = run::to_the_end(&mut fuzz) {
            step.failed();
            return Err(error.context(format!(
                "what {name} did not bear is in {}; once it is mended, put it among the seeds",
                found.display()
            )));
        }
        step.done();
    }
    Ok(ExitCode::SUCCESS)
}

/// Folder and name of every target.
fn targets() -> Result<Vec<(&'static str, String)>> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let sources = workspace::root().join(folder).join("targets");
        for entry in fs::read_dir(&sources).with_context(|| format!("cannot list {}", sources.display()))? {
            let path = entry.with_context(|| format!("cannot list {}", sources.display()))?.path();
            all.extend(path.file_stem().map(|name| (folder, name.to_string_lossy().into_owned())));
        }
    }
    all.sort();
    Ok(all)
}

fn tools() -> PathBuf {
    workspace::target().join("tools")
}

fn install() -> Result<()> {
    if tools().join("bin/cargo-fuzz").exists() {
        return Ok(());
    }
    println!("cargo-fuzz is built once, which takes a minute or two");
    let mut install = workspace::cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--root"]).arg(tools());
    install.env("CARGO_TARGET_DIR", tools().join("build"));
    run::to_the_end(&mut install)
}

fn path_with_tools() -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools().join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("a folder of PATH cannot be in one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_in_its_manifest_and_has_seeds() {
        let targets = targets().expect("they can be listed");
        assert!(targets.len() >= 7, "{targets:?}");
        for (folder, name) in targets {
            let folder = workspace::root().join(folder);
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("there is a manifest");
            assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
            assert!(
                folder.join("seeds").join(&name).read_dir().is_ok_and(|mut seeds| seeds.next().is_some()),
                "{name}"
            );
        }
    }
}
