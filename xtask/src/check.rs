//! `cargo xtask check`: what can be said of the sources without running them.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::fences;
use crate::image::lint;
use crate::progress::Step;
use crate::run;
use crate::system::{self, Purpose};
use crate::test;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run only these; without names, all of them
    #[arg(value_enum, value_name = "NAME")]
    checks: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// cargo fmt
    Formatting,
    /// Every target of every crate, warnings are errors
    Clippy,
    /// What may stand where
    Fences,
    /// Bans, licences, sources and advisories of what the programs are made of
    Dependencies,
    /// Types and lint of the page
    Page,
    /// Whether pi-gen would run what is in image/, and the scripts in it
    Image,
}

type Check = fn() -> Result<()>;

/// Runs every check, also after one failed, so that one run shows all there is to mend.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let checks: [(Name, &str, Check); 6] = [
        (Name::Formatting, "formatting", formatting),
        (Name::Clippy, "clippy", clippy),
        (Name::Fences, "fences", fences),
        (Name::Dependencies, "dependencies", dependencies),
        (Name::Page, "page", page),
        (Name::Image, "image", image),
    ];
    let wanted = |name: Name| arguments.checks.is_empty() || arguments.checks.contains(&name);
    if wanted(Name::Page) {
        system::prepare(Purpose::Page)?;
    }
    if wanted(Name::Clippy) {
        system::prepare(Purpose::Build)?;
    }
    let mut failed = Vec::new();
    for (_, name, check) in checks.into_iter().filter(|(name, ..)| wanted(*name)) {
        let step = Step::begin(name);
        match check() {
            Ok(()) => {
                step.done();
            }
            Err(error) => {
                println!("{error:#}");
                step.failed();
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        println!("\neverything that was checked is in order");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nfailed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// `cargo fmt`, only looking.
pub(crate) fn formatting() -> Result<()> {
    run::to_the_end(workspace::cargo().args(["fmt", "--all", "--check"]))
}

/// Every target of every crate, warnings are errors.
pub(crate) fn clippy() -> Result<()> {
    let mut clippy = workspace::cargo();
    clippy.arg("clippy").args(workspace::ALL).args(["--all-targets", "--", "--deny", "warnings"]);
    run::to_the_end(&mut clippy)
}

/// The fences of the design.
pub(crate) fn fences() -> Result<()> {
    let violations = fences::check(&workspace::root())?;
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violation(s) of the fences; docs/development.md says what each is for", violations.len());
    }
    Ok(())
}

/// Types and lint of the page, and of the tests in the browser.
pub(crate) fn page() -> Result<()> {
    test::install_node_modules()?;
    let tests = workspace::page_tests();
    run::to_the_end(Command::new("npm").current_dir(&tests).args(["run", "--silent", "check"]))?;
    let tool = |name: &str| {
        let mut command = Command::new(tests.join("node_modules/.bin").join(name));
        command.current_dir(&tests);
        command
    };
    run::to_the_end(tool("tsc").args(["-p", "browser"]))?;
    run::to_the_end(tool("eslint").args(["--config", "browser/eslint.config.js", "browser"]))?;
    // Files outside of the folder that it runs in eslint does not look at.
    let appliance = ["--config", "signal-srv/tests/browser/eslint.config.js", "image/test"];
    run::to_the_end(tool("eslint").current_dir(workspace::root()).args(appliance))
}

/// The stages and scripts of the image.
pub(crate) fn image() -> Result<()> {
    lint::lint()
}

/// `cargo deny`: bans, licences, sources; advisories where their database can be had.
fn dependencies() -> Result<()> {
    let tools = workspace::target().join("tools");
    let deny = tools.join("bin/cargo-deny");
    if !deny.exists() {
        println!("cargo-deny is built once, which takes some minutes");
        let mut install = workspace::cargo();
        install.args(["install", "cargo-deny", "--locked", "--root"]).arg(&tools);
        install.env("CARGO_TARGET_DIR", tools.join("build"));
        run::to_the_end(&mut install)?;
    }
    let cargo_deny = |checks: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(workspace::root()).args(["--workspace", "check", "--hide-inclusion-graph"]).args(checks);
        command
    };
    run::to_the_end(&mut cargo_deny(&["bans", "licenses", "sources"]))?;
    println!("  $ cargo-deny --workspace check advisories");
    let output = cargo_deny(&["advisories"]).stdin(Stdio::null()).output().context("cannot start cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && database_unreachable(&said) {
        println!("{}", said.lines().next().unwrap_or_default());
        println!("NOT CHECKED: the advisory database could not be fetched; bans, licences and sources were checked");
        return Ok(());
    }
    print!("{}{said}", String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        bail!("cargo-deny found advisories");
    }
    Ok(())
}

fn database_unreachable(said: &str) -> bool {
    said.contains("failed to fetch advisory database") || said.contains("failed to load advisory database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advisory_is_not_taken_for_an_unreachable_database() {
        assert!(database_unreachable("[ERROR] failed to fetch advisory database https://example.org"));
        assert!(!database_unreachable("error[vulnerability]: a crate has one"));
    }
}
