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
//! built to run here has the sysroot's loader and libraries.
//!
//! From the same sources and the same sysroot comes the same program, wherever the repository is and whoever builds it: the
//! places of this machine do not get into it.
//!
//! libvpx is linked into the program, Debian's own patched one: a camera is updated as a whole, and the program carries the
//! very encoder that it was tested with. libcamera stays a shared library, because it opens modules of its own release;
//! libjpeg-turbo stays one as well, which differs little from release to release.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::debian::{Architecture, RELEASE};
use crate::progress::Step;
use crate::run;
use crate::sysroot::{self, Sysroot};
use crate::system::{self, Purpose};
use crate::workspace;

/// The features of the agent on the appliance.
pub(crate) const APPLIANCE: [&str; 3] = ["--no-default-features", "--features", "libcamera,appliance"];

/// How the agent of the appliance is built, for cards and for the tests' emulated machines alike, so that it is built once
/// and what is tested is what is shipped; also the name of the folder that it comes to.
pub(crate) const PROFILE: &str = "appliance";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The machine to build for
    #[arg(long, value_enum, value_name = "NAME", default_value = "arm64")]
    arch: Architecture,
    /// Build against this root file system, in which the packages for development are, and not against Debian's; for
    /// Raspberry Pi OS, whose libcamera is another (image/pi-gen/README.md)
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Run this cargo command for that machine instead, such as `test -p camera-fw --lib`
    #[arg(last = true, value_name = "CARGO ARGUMENTS")]
    cargo: Vec<OsString>,
}

/// `cargo xtask cross`: the agent for another machine, or any cargo command for it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut cross = match &arguments.sysroot {
        Some(root) => Cross::against(root, arguments.arch)?,
        None => Cross::to(arguments.arch)?,
    };
    if let Some((subcommand, rest)) = arguments.cargo.split_first() {
        cross.runs_here = Architecture::own() == Some(arguments.arch);
        run::to_the_end(cross.cargo(subcommand).args(rest))?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = cross.build()?;
    let system = match &arguments.sysroot {
        Some(root) => format!("the system in {}", root.display()),
        None => format!("a Debian {RELEASE}"),
    };
    let libcamera = cross.sysroot.version("libcamera")?;
    println!("\n{}\nfor {system} ({}), with libcamera {libcamera}", program.display(), arguments.arch);
    Ok(ExitCode::SUCCESS)
}

/// All that building for one kind of machine takes.
#[derive(Debug)]
pub(crate) struct Cross {
    pub(crate) sysroot: Sysroot,
    /// What cargo builds for it.
    folder: PathBuf,
    /// Whether what is built is for this very machine, by the sysroot's loader, and not for one of the sysroot's release.
    runs_here: bool,
    /// The version of libvpx in it.
    libvpx: String,
    /// Folders of this machine, and what they are called in the program. Of two that fit the later counts.
    places: Vec<(PathBuf, String)>,
}

impl Cross {
    /// Gets what is missing: compilers, sysroot, Rust's own library.
    pub(crate) fn to(architecture: Architecture) -> Result<Self> {
        system::prepare(Purpose::Cross(architecture))?;
        Self::with(sysroot::prepare(architecture)?, workspace::target().join("cross"))
    }

    /// The same for a system that somebody else has made.
    pub(crate) fn against(root: &Path, architecture: Architecture) -> Result<Self> {
        system::prepare(Purpose::Cross(architecture))?;
        Self::with(Sysroot::of(root, architecture)?, workspace::target().join("cross-other"))
    }

    fn with(sysroot: Sysroot, folder: PathBuf) -> Result<Self> {
        install_rust(sysroot.architecture)?;
        let libvpx = sysroot.version("vpx")?;
        let places = places(&sysroot, &folder)?;
        Ok(Self { sysroot, folder, runs_here: false, libvpx, places })
    }

    /// To run on this machine, whatever libraries that has.
    pub(crate) fn here() -> Result<Self> {
        let own = Architecture::own().context("there is no sysroot for this machine's architecture")?;
        Ok(Self { runs_here: true, ..Self::to(own)? })
    }

    /// The agent as the appliance has it.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let step = Step::begin(format!("Build camera-fw for {}", self.sysroot.architecture));
        let mut build = self.cargo("build");
        build.args(["--package", "camera-fw", "--bins"]).args(APPLIANCE);
        run::to_the_end(build.args(["--profile", PROFILE]))?;
        step.done();
        Ok(self.built().join("camera-fw"))
    }

    /// `cargo SUBCOMMAND` for that machine.
    pub(crate) fn cargo(&self, subcommand: impl Into<OsString>) -> Command {
        let target = self.sysroot.architecture.rust();
        let mut command = workspace::cargo();
        command.arg(subcommand.into()).args(["--target", target]);
        command.env("CARGO_TARGET_DIR", &self.folder);
        // These would take the place of ours.
        for variable in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "PKG_CONFIG_PATH", "PKG_CONFIG_SYSROOT_DIR"] {
            command.env_remove(variable);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags().join("\x1f"));
        command.envs(self.variables());
        command
    }

    /// Where it puts the programs.
    pub(crate) fn built(&self) -> PathBuf {
        self.folder.join(self.sysroot.architecture.rust()).join(PROFILE)
    }

    /// For the build scripts of crates that compile C and C++, look for libraries, or read headers. By their names they
    /// are for this target alone: what is built for this machine on the way (build scripts, macros) does not see them.
    /// Those of libvpx have one name for all targets; of what is built on the way, nothing has to do with libvpx.
    fn variables(&self) -> Vec<(String, String)> {
        let target = self.sysroot.architecture.rust().replace('-', "_");
        let root = self.sysroot.root.display().to_string();
        let in_sysroot = format!("--sysroot={root}");
        let places = self.places.iter().map(|(real, name)| format!(" -ffile-prefix-map={}={name}", real.display()));
        let compiler = format!("{in_sysroot}{}", places.collect::<String>());
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
            of_target("CFLAGS", &compiler),
            of_target("CXXFLAGS", &compiler),
            of_target("BINDGEN_EXTRA_CLANG_ARGS", &in_sysroot),
            (format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), tool("gcc")),
            // Not by pkg-config: the crate takes no static library of its sysroot, which it holds for the system.
            ("VPX_STATIC".to_owned(), "1".to_owned()),
            ("VPX_LIB_DIR".to_owned(), self.sysroot.libraries().display().to_string()),
            ("VPX_INCLUDE_DIR".to_owned(), self.sysroot.root.join("usr/include").display().to_string()),
            ("VPX_VERSION".to_owned(), self.libvpx.clone()),
        ]
    }

    fn rust_flags(&self) -> Vec<String> {
        let libraries = self.sysroot.libraries();
        let mut linker = vec![
            format!("--sysroot={}", self.sysroot.root.display()),
            // Before the compiler's own, whose libstdc++ may be too old for what libcamera was linked with.
            format!("-L{}", self.sysroot.compiler().display()),
            format!("-L{}", libraries.display()),
            // Addresses to be adjusted at the start take half a megabyte in the old form; glibc reads the new one since 2.36.
            "-Wl,-z,pack-relative-relocs".to_owned(),
        ];
        if self.runs_here {
            linker.push(format!("-Wl,--dynamic-linker={}", self.sysroot.loader().display()));
            // The old kind of path, which counts for the libraries of libraries too.
            linker.push(format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display()));
        }
        let linker = linker.into_iter().map(|argument| format!("-Clink-arg={argument}"));
        let places = self.places.iter().map(|(real, name)| format!("--remap-path-prefix={}={name}", real.display()));
        linker.chain(places).collect()
    }
}

/// What of this machine would get into a program: panics name their file, and so do C's assertions.
fn places(sysroot: &Sysroot, folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let rustc = |arguments: &[&str]| {
        run::output(Command::new("rustc").current_dir(workspace::root()).args(arguments))
            .with_context(|| format!("rustc does not answer to {}", arguments.join(" ")))
    };
    let about = rustc(&["--version", "--verbose"])?;
    let commit = about.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    // The sources of Rust's library, where rustup has them; else they have this name already.
    let library = PathBuf::from(rustc(&["--print", "sysroot"])?.trim()).join("lib/rustlib/src/rust");
    let mut places = vec![(library, format!("/rustc/{commit}"))];
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    if let Some(home) = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"))) {
        places.push((home, "/cargo".to_owned()));
    }
    places.push((workspace::root(), "/roomcam".to_owned()));
    places.push((folder.to_path_buf(), "/target".to_owned()));
    places.push((sysroot.root.clone(), "/sysroot".to_owned()));
    Ok(places)
}

/// The shared libraries that a program or library names. The loader cannot be asked, since it is one of another machine.
pub(crate) fn needed(file: &Path) -> Result<Vec<String>> {
    let dynamic = run::output(Command::new("readelf").args(["--wide", "--dynamic"]).arg(file))
        .with_context(|| format!("readelf does not understand {}", file.display()))?;
    Ok(named(&dynamic).map(str::to_owned).collect())
}

/// Of ` 0x0000000000000001 (NEEDED)  Shared library: [libc.so.6]`.
fn named(dynamic: &str) -> impl Iterator<Item = &str> {
    dynamic.lines().filter(|line| line.contains("(NEEDED)")).filter_map(|line| line.split(['[', ']']).nth(1))
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
        Cross {
            sysroot: Sysroot { root: PathBuf::from("/s"), architecture },
            folder: PathBuf::from("/t"),
            runs_here: false,
            libvpx: "1.15.0".to_owned(),
            places: vec![(PathBuf::from("/home/me"), "/roomcam".to_owned())],
        }
    }

    #[test]
    fn variables_are_for_the_target_alone() {
        let variables = cross(Architecture::Arm64).variables();
        let value = |name: &str| &variables.iter().find(|(key, _)| key == name).unwrap().1;
        let flags = "--sysroot=/s -ffile-prefix-map=/home/me=/roomcam";
        assert_eq!(value("CFLAGS_aarch64_unknown_linux_gnu"), flags);
        assert_eq!(
            value("PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu"),
            "/s/usr/lib/aarch64-linux-gnu/pkgconfig:/s/usr/share/pkgconfig"
        );
        assert!(variables.iter().any(|(key, _)| key == "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"));
        let general = variables.iter().map(|(key, _)| key).filter(|key| !key.to_lowercase().contains("aarch64"));
        let unexpected: Vec<_> = general.filter(|key| !key.starts_with("VPX_")).collect();
        assert_eq!(unexpected, ["PKG_CONFIG_ALLOW_CROSS"]);
    }

    #[test]
    fn only_what_is_for_this_machine_runs_from_the_sysroot() {
        for runs_here in [false, true] {
            let flags = Cross { runs_here, ..cross(Architecture::Arm64) }.rust_flags();
            assert_eq!(flags[0], "-Clink-arg=--sysroot=/s");
            assert_eq!(flags[flags.len() - 1], "--remap-path-prefix=/home/me=/roomcam");
            assert_eq!(flags.iter().any(|flag| flag.contains("-rpath,")), runs_here);
        }
    }

    #[test]
    fn libraries_are_read_from_what_readelf_says() {
        let dynamic = "Dynamic section at offset 0x1f8d8 contains 26 entries:\n  Tag        Type         Name/Value\n \
             0x0000000000000001 (NEEDED)             Shared library: [libcamera.so.0.4]\n \
             0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n \
             0x000000000000000e (SONAME)             Library soname: [libx.so.1]\n";
        assert!(named(dynamic).eq(["libcamera.so.0.4", "libc.so.6"]));
        assert_eq!(named("There is no dynamic section in this file.\n").count(), 0);
    }

    #[test]
    fn the_container_has_the_same_recipe() {
        let text = std::fs::read_to_string(workspace::root().join("Cross.toml")).unwrap();
        let settings: toml::Table = toml::from_str(&text).unwrap();
        let target = &settings["target"][Architecture::Arm64.rust()];
        let theirs: Vec<_> = target["env"]["passthrough"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap().to_owned())
            .collect();
        let root = PathBuf::from("/");
        let ours = Cross {
            sysroot: Sysroot { root, ..cross(Architecture::Arm64).sysroot },
            places: Vec::new(),
            ..cross(Architecture::Arm64)
        };
        let ours: Vec<_> = ours.variables().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(theirs, ours);
        for word in APPLIANCE.iter().chain(&[PROFILE]) {
            assert!(text.contains(word), "its command lacks {word}");
        }

        let container = workspace::root().join(target["dockerfile"].as_str().unwrap());
        let container = std::fs::read_to_string(container).unwrap();
        assert!(container.contains(&format!("FROM debian:{RELEASE}\n")));
        for package in sysroot::DEVELOPMENT.iter().filter(|package| package.ends_with("-dev")) {
            assert!(container.contains(&format!(" {package}:arm64 ")), "it lacks {package}");
        }
    }
}
