//! Building for a machine that is not this one, and `cargo xtask cross` for people.
//!
//! ```text
//! sysroot.rs ─▶ headers, libraries ─┐
//! gcc of the system (cross or own) ─┼▶ cargo --target … ─▶ target/cross/<target>/<profile>/camera-fw
//! libclang of the system (bindgen) ─┘
//! ```
//!
//! It has a target folder of its own, so that nothing built for this machine is ever built again because of it. For
//! this machine's own architecture it is of use too: the sysroot's libcamera may be newer than the system's, and what is
//! built runs here, with the sysroot's loader and libraries.
//!
//! libvpx is linked as a shared library, from the sysroot like the others. libcamera ties the program to its release
//! anyway; and an encoder has its security holes, which the device's own updates mend then.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::debian::{Architecture, RELEASE};
use crate::progress::Step;
use crate::run;
use crate::sysroot::{self, Sysroot};
use crate::system::{self, Purpose};
use crate::workspace;

/// The features of the agent on the appliance.
pub(crate) const APPLIANCE: [&str; 3] = ["--no-default-features", "--features", "libcamera"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The machine to build for
    #[arg(long, value_enum, value_name = "NAME", default_value = "arm64")]
    arch: Architecture,
    /// As it is shipped: smaller and a little faster, and it takes much longer to build
    #[arg(long)]
    release: bool,
    /// Run this cargo command for that machine instead, such as `test -p camera-fw --lib`
    #[arg(last = true, value_name = "CARGO ARGUMENTS")]
    cargo: Vec<OsString>,
}

/// How much is made of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised, and quickly built.
    Guest,
    Release,
}

impl Profile {
    /// As cargo names it, and its folder.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Release => "release",
        }
    }
}

/// `cargo xtask cross`: the agent for another machine, or any cargo command for it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let cross = Cross::to(arguments.arch)?;
    if let Some((subcommand, rest)) = arguments.cargo.split_first() {
        run::to_the_end(cross.cargo(subcommand).args(rest))?;
        return Ok(ExitCode::SUCCESS);
    }
    let profile = if arguments.release { Profile::Release } else { Profile::Guest };
    let step = Step::begin(format!("Build camera-fw for {}", arguments.arch));
    run::to_the_end(
        cross
            .cargo("build")
            .args(["--package", "camera-fw", "--bins"])
            .args(APPLIANCE)
            .args(["--profile", profile.name()]),
    )?;
    step.done();
    let program = cross.built(profile).join("camera-fw");
    println!("\n{}\nfor a Debian {RELEASE} or Raspberry Pi OS of that release ({})", program.display(), arguments.arch);
    Ok(ExitCode::SUCCESS)
}

/// All that building for one kind of machine takes.
#[derive(Debug)]
pub(crate) struct Cross {
    pub(crate) sysroot: Sysroot,
}

impl Cross {
    /// Gets what is missing: compilers, sysroot, Rust's own library.
    pub(crate) fn to(architecture: Architecture) -> Result<Self> {
        system::prepare(Purpose::Cross(architecture))?;
        let sysroot = sysroot::prepare(architecture)?;
        install_rust(architecture)?;
        Ok(Self { sysroot })
    }

    /// `cargo SUBCOMMAND` for that machine.
    pub(crate) fn cargo(&self, subcommand: impl Into<OsString>) -> Command {
        let target = self.sysroot.architecture.rust();
        let mut command = workspace::cargo();
        command.arg(subcommand.into()).args(["--target", target]);
        command.env("CARGO_TARGET_DIR", folder());
        // These would take the place of ours.
        for variable in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "PKG_CONFIG_PATH", "PKG_CONFIG_SYSROOT_DIR"] {
            command.env_remove(variable);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags().join("\x1f"));
        command.envs(self.variables());
        command
    }

    /// Where it puts the programs.
    pub(crate) fn built(&self, profile: Profile) -> PathBuf {
        folder().join(self.sysroot.architecture.rust()).join(profile.name())
    }

    /// For the build scripts of crates that compile C and C++, look for libraries, or read headers. By their names they
    /// are for this target alone: what is built for this machine on the way (build scripts, macros) does not see them.
    fn variables(&self) -> Vec<(String, String)> {
        let target = self.sysroot.architecture.rust().replace('-', "_");
        let root = self.sysroot.root.display().to_string();
        let in_sysroot = format!("--sysroot={root}");
        // Debian's compilers have this name everywhere, the system's own too.
        let tool = |name: &str| format!("{}-{name}", self.sysroot.architecture.gnu());
        let of_target = |name: &str, value: &str| (format!("{name}_{target}"), value.to_owned());
        vec![
            ("PKG_CONFIG_ALLOW_CROSS".to_owned(), "1".to_owned()),
            of_target("PKG_CONFIG_SYSROOT_DIR", &root),
            of_target("PKG_CONFIG_LIBDIR", &self.sysroot.pkg_config()),
            of_target("CC", &tool("gcc")),
            of_target("CXX", &tool("g++")),
            of_target("AR", &tool("ar")),
            of_target("CFLAGS", &in_sysroot),
            of_target("CXXFLAGS", &in_sysroot),
            of_target("BINDGEN_EXTRA_CLANG_ARGS", &in_sysroot),
            (format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), tool("gcc")),
        ]
    }

    fn rust_flags(&self) -> Vec<String> {
        let libraries = self.sysroot.libraries();
        let mut linker = vec![
            format!("--sysroot={}", self.sysroot.root.display()),
            // Before the compiler's own, whose libstdc++ may be too old for what libcamera was linked with.
            format!("-L{}", self.sysroot.compiler().display()),
            format!("-L{}", libraries.display()),
        ];
        if Architecture::own() == Some(self.sysroot.architecture) {
            linker.push(format!("-Wl,--dynamic-linker={}", self.sysroot.loader().display()));
            // The old kind of path, which counts for the libraries of libraries too.
            linker.push(format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display()));
        }
        linker.into_iter().flat_map(|argument| ["-C".to_owned(), format!("link-arg={argument}")]).collect()
    }
}

fn folder() -> PathBuf {
    workspace::target().join("cross")
}

/// Rust's standard library for that machine.
fn install_rust(architecture: Architecture) -> Result<()> {
    let target = architecture.rust();
    let mut ask = Command::new("rustc");
    ask.current_dir(workspace::root()).args(["--print", "target-libdir", "--target", target]);
    let folder = run::output(&mut ask).context("rustc does not say where its libraries are")?;
    if PathBuf::from(folder.trim()).exists() {
        return Ok(());
    }
    if system::program("rustup").is_none() {
        bail!("this Rust has no standard library for {target}; install it, or use rustup (https://rustup.rs)");
    }
    run::to_the_end(Command::new("rustup").current_dir(workspace::root()).args(["target", "add", target]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross(architecture: Architecture) -> Cross {
        Cross { sysroot: Sysroot { root: PathBuf::from("/s"), architecture } }
    }

    #[test]
    fn variables_are_for_the_target_alone() {
        let variables = cross(Architecture::Arm64).variables();
        let value = |name: &str| &variables.iter().find(|(key, _)| key == name).unwrap().1;
        assert_eq!(value("CFLAGS_aarch64_unknown_linux_gnu"), "--sysroot=/s");
        assert_eq!(
            value("PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu"),
            "/s/usr/lib/aarch64-linux-gnu/pkgconfig:/s/usr/share/pkgconfig"
        );
        assert!(variables.iter().any(|(key, _)| key == "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"));
        let general: Vec<_> = variables.iter().filter(|(key, _)| !key.to_lowercase().contains("aarch64")).collect();
        assert_eq!(general.len(), 1, "{general:?}");
    }

    #[test]
    fn only_what_is_for_this_machine_runs_from_the_sysroot() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let flags = cross(architecture).rust_flags();
            assert_eq!(&flags[..2], ["-C", "link-arg=--sysroot=/s"]);
            let own = Architecture::own() == Some(architecture);
            assert_eq!(flags.iter().any(|flag| flag.contains("-rpath,")), own);
        }
    }
}
