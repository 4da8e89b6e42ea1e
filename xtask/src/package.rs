//! `cargo xtask package`: the signaling server as a package for Debian; and `cargo xtask test package`: what is in it.
//!
//! ```text
//! cargo build ─▶ signal-srv ─┐
//! signal-srv/packaging ──────┼▶ cargo-deb ─▶ target/debian/signal-srv_….deb
//! docs ──────────────────────┘
//! ```
//!
//! The test packs the program as the other tests have built it: what counts is around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::run;
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::test;
use crate::workspace;

/// What makes packages; the version that the metadata was written for.
const CARGO_DEB: &str = "3.8.0";

/// What the package puts where, with its mode.
const FILES: [(&str, &str); 10] = [
    ("-rw-r--r--", "./etc/signal-srv/signal-srv.toml"),
    ("-rwxr-xr-x", "./usr/bin/signal-srv"),
    ("-rw-r--r--", "./usr/lib/systemd/system/signal-srv.service"),
    ("-rw-r--r--", "./usr/lib/systemd/system/signal-srv-http.socket"),
    ("-rw-r--r--", "./usr/lib/systemd/system/signal-srv-https.socket"),
    ("-rw-r--r--", "./usr/lib/sysusers.d/signal-srv.conf"),
    ("-rw-r--r--", "./usr/share/doc/signal-srv/copyright"),
    ("-rw-r--r--", "./usr/share/doc/signal-srv/operations.md"),
    ("-rw-r--r--", "./usr/share/doc/signal-srv/protocol.md"),
    ("-rw-r--r--", "./usr/share/doc/signal-srv/security.md"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to put it, file or folder [default: target/debian]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Builds the server and packs it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    system::prepare(Purpose::Package)?;
    run::to_the_end(workspace::cargo().args(["build", "--release", "--package", "signal-srv"]))?;
    let output = match &arguments.output {
        Some(path) => std::path::absolute(path).with_context(|| format!("there is no place {}", path.display()))?,
        None => workspace::target().join("debian"),
    };
    let package = pack(&workspace::target(), &output)?;
    println!("\n{}\n\n  sudo apt install {}", package.display(), package.display());
    Ok(ExitCode::SUCCESS)
}

/// Packs `target/release/signal-srv`.
fn pack(target: &Path, output: &Path) -> Result<PathBuf> {
    let mut cargo_deb = Command::new(cargo_deb()?);
    cargo_deb.current_dir(workspace::root()).env("CARGO_TARGET_DIR", target);
    cargo_deb.args(["--package", "signal-srv", "--no-build", "--compress-system", "--output"]).arg(output);
    run::to_the_end(&mut cargo_deb)?;
    if output.is_file() {
        return Ok(output.to_owned());
    }
    let newest = fs::read_dir(output)
        .with_context(|| format!("cannot list {}", output.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    newest.with_context(|| format!("there is no package in {}", output.display()))
}

/// cargo-deb; built once.
fn cargo_deb() -> Result<PathBuf> {
    let tools = workspace::target().join("tools");
    let program = tools.join("bin/cargo-deb");
    let version = || run::output(Command::new(&program).arg("--version"));
    if !program.exists() || version().is_none_or(|version| !version.trim().ends_with(CARGO_DEB)) {
        println!("cargo-deb is built once, which takes some minutes");
        let mut install = workspace::cargo();
        install.args(["install", "cargo-deb", "--locked", "--no-default-features", "--debug", "--force"]);
        install.args(["--version", CARGO_DEB, "--root"]).arg(&tools).env("CARGO_TARGET_DIR", tools.join("build"));
        run::to_the_end(&mut install)?;
    }
    Ok(program)
}

/// Why this cannot be done on this machine, if it cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if system::program("dpkg-deb").is_none() { Some("packages for Debian are looked at with dpkg-deb") } else { None }
}

/// Packs the program as it is and looks at the package from all sides.
pub(crate) fn test(tally: &mut Tally) -> Result<()> {
    let folder = workspace::target().join("package-test");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let release = folder.join("release");
    fs::create_dir_all(&release).with_context(|| format!("cannot make {}", release.display()))?;
    let built = test::programs()?.join("signal-srv");
    fs::copy(&built, release.join("signal-srv")).with_context(|| format!("cannot copy {}", built.display()))?;
    let package = pack(&folder, &folder.join("signal-srv.deb"))?;
    let root = folder.join("root");
    run::to_the_end(Command::new("dpkg-deb").arg("--raw-extract").arg(&package).arg(&root))?;

    let mut check = |what: &str, outcome: Result<String>| match outcome {
        Ok(said) => {
            println!("  ✓ {what}  {said}");
            tally.passed += 1;
        }
        Err(error) => {
            println!("  ✗ {what}\n{error:#}");
            tally.failed += 1;
        }
    };
    check("it depends on what every Debian has", depends(&package));
    check("it has its files, each with its mode, and no other", files(&package));
    check("an administrator's configuration is never overwritten", configuration(&root));
    check("the service is started, the sockets are not", scripts(&root));
    check("the units are what systemd understands", units(&root));
    check("its program starts with its configuration", program(&root));
    check("it is installed, upgraded, removed and purged", installed(&package));
    ensure!(tally.failed == 0, "the package is not as it should be");
    Ok(())
}

fn depends(package: &Path) -> Result<String> {
    let field = |name: &str| {
        let said = run::output(Command::new("dpkg-deb").arg("--field").arg(package).arg(name));
        said.map(|text| text.trim().to_owned()).with_context(|| format!("it has no field {name}"))
    };
    ensure!(field("Package")? == "signal-srv" && field("Section")? == "net");
    let depends = field("Depends")?;
    let others = depends.split(',').map(str::trim).filter(|name| {
        !["libc6", "libgcc-s1", "systemd | systemd-standalone-sysusers"].iter().any(|known| name.starts_with(known))
    });
    ensure!(others.count() == 0, "it needs {depends}");
    Ok(format!("{} {}: {depends}", field("Version")?, field("Architecture")?))
}

fn files(package: &Path) -> Result<String> {
    let listed = run::output(Command::new("dpkg-deb").arg("--contents").arg(package)).context("it cannot be read")?;
    let mut files: Vec<_> = listed
        .lines()
        .filter_map(|line| Some((line.split_whitespace().next()?, line.split_whitespace().last()?)))
        .filter(|(mode, _)| !mode.starts_with('d'))
        .collect();
    files.sort_unstable_by_key(|(_, path)| *path);
    let mut expected = FILES;
    expected.sort_unstable_by_key(|(_, path)| *path);
    ensure!(files == expected, "it has\n{listed}");
    ensure!(listed.lines().all(|line| line.contains(" root/root ") || line.contains(" 0/0 ")), "{listed}");
    Ok(format!("{} files", files.len()))
}

fn configuration(root: &Path) -> Result<String> {
    let listed = read(&root.join("DEBIAN/conffiles"))?;
    ensure!(listed.trim() == "/etc/signal-srv/signal-srv.toml", "conffiles: {listed}");
    Ok(String::new())
}

fn scripts(root: &Path) -> Result<String> {
    let mut texts = String::new();
    for name in ["postinst", "prerm", "postrm"] {
        let path = root.join("DEBIAN").join(name);
        ensure!(run::succeeds(Command::new("sh").arg("-n").arg(&path)), "{name} is no script");
        let text = read(&path)?;
        ensure!(!text.contains("#DEBHELPER#"), "{name} lacks what cargo-deb was to add");
        texts.push_str(&text);
    }
    for line in [
        "deb-systemd-helper enable 'signal-srv.service'",
        "deb-systemd-invoke $_dh_action 'signal-srv.service'",
        "deb-systemd-invoke stop 'signal-srv.service'",
        "deb-systemd-invoke stop 'signal-srv-https.socket'",
        "systemd-sysusers",
        "rm -rf /var/lib/signal-srv",
    ] {
        let bare = line.replace('\'', "");
        ensure!(texts.contains(line) || texts.contains(&bare), "no script has `{line}`:\n{texts}");
    }
    let starts_a_socket = |line: &str| line.contains("$_dh_action") && line.contains(".socket");
    ensure!(!texts.lines().any(starts_a_socket), "a socket is started:\n{texts}");
    Ok(String::new())
}

fn units(root: &Path) -> Result<String> {
    let system = root.join("usr/lib/systemd/system");
    let units =
        ["signal-srv.service", "signal-srv-https.socket", "signal-srv-http.socket"].map(|name| system.join(name));
    let output = Command::new("systemd-analyze").arg("verify").args(&units).output();
    let output = output.context("cannot start systemd-analyze, of the package systemd")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // The program of the package is not at its place on this machine, unless the package is installed.
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("signal-srv")).collect();
    let about = |line: &&&str| !line.contains("/usr/bin/signal-srv is not executable");
    ensure!(complaints.iter().filter(about).count() == 0, "{said}");
    Ok(String::new())
}

fn program(root: &Path) -> Result<String> {
    let mut command = Command::new(root.join("usr/bin/signal-srv"));
    command.arg("--config").arg(root.join("etc/signal-srv/signal-srv.toml")).arg("--print-config");
    command.env("STATE_DIRECTORY", "/var/lib/signal-srv");
    let said = run::output(&mut command).context("it does not start")?;
    ensure!(said.contains("state_dir = \"/var/lib/signal-srv\""), "{said}");
    Ok(String::new())
}

/// On a copy of this system, where that can be had.
fn installed(package: &Path) -> Result<String> {
    const IMPOSSIBLE: i32 = 77;
    if !system::is_root() {
        return Ok("NOT TRIED: only root can".to_owned());
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", include_str!("package/installed.sh"), "sh"]).arg(package);
    let output = command.output().context("cannot start unshare")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(IMPOSSIBLE) {
        return Ok(format!("NOT TRIED: {}", said.trim()));
    }
    ensure!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    Ok(String::new())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
