//! What the system must have before we can build, show and test, and how it gets it.
//!
//! Only what is missing is installed, and only then are apt's lists refreshed. As root we do it; otherwise
//! we show the command and ask; where nobody can be asked we show it and stop.

use std::env;
use std::fs;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::{self, Architecture};
use crate::progress::Step;
use crate::run;

/// What the packages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building the programs.
    Build,
    /// Checking the page: Node.
    Page,
    /// Building and testing what is in Rust.
    Rust,
    /// Building and testing everything: browsers and Node besides.
    Test,
    /// The Debian package of the server.
    Package,
    /// Building for a machine of this kind, this one or another, against a sysroot.
    Cross(Architecture),
    /// An emulated machine that runs what is built so.
    Guest,
    /// Running a program of another machine as if it were one of this.
    Emulator,
    /// The card of the appliance.
    Image,
    /// The card in an emulated machine, with a network and a browser around it.
    Appliance,
    /// The same in a model of a true board, with neither.
    Board,
    /// Footage to encode, and pictures to compare.
    Footage,
}

struct Package {
    /// Its name in Debian, Ubuntu and Raspberry Pi OS; several where one thing takes several.
    apt: &'static [&'static str],
    /// What to look for in any other system.
    generic: &'static str,
    present: fn() -> bool,
}

const BUILD: &[Package] = &[
    Package { apt: &["gcc", "libc6-dev"], generic: "a C compiler (cc)", present: || program("cc").is_some() },
    Package { apt: &["pkg-config"], generic: "pkg-config", present: || program("pkg-config").is_some() },
    Package { apt: &["libvpx-dev"], generic: "libvpx with its headers", present: has_libvpx },
    Package { apt: &["libturbojpeg0-dev"], generic: "libturbojpeg with its headers", present: has_libturbojpeg },
    Package { apt: &["libclang-dev"], generic: "libclang with its headers (for bindgen)", present: has_libclang },
    Package {
        apt: &["libcamera-dev", "g++"],
        generic: "libcamera with its headers, and a C++ compiler",
        // One that is too old for us is left out of the build.
        present: || !on_raspberry_pi() || run::succeeds(Command::new("pkg-config").args(["--exists", "libcamera"])),
    },
    Package { apt: &["ca-certificates"], generic: "the usual certificate authorities", present: has_authorities },
];

const PAGE: &[Package] =
    &[Package { apt: &["nodejs", "npm"], generic: "Node.js 18.19 or newer, with npm", present: has_node }];

const READERS: &[Package] = &[Package {
    apt: &["poppler-utils"],
    generic: "poppler's pdftoppm (printed labels are read back with it)",
    present: || program("pdftoppm").is_some(),
}];

const SERVICE: &[Package] = &[
    Package {
        apt: &["systemd"],
        generic: "systemd-analyze (it looks at the server's units)",
        present: || program("systemd-analyze").is_some(),
    },
    Package {
        apt: &["nftables"],
        generic: "nft (it plays a network that is gone)",
        present: || administration("nft").is_some(),
    },
    Package { apt: &["iproute2"], generic: "ip (iproute2)", present: || administration("ip").is_some() },
];

const PACKAGE: &[Package] = &[
    Package {
        apt: &["dpkg-dev"],
        generic: "dpkg-shlibdeps, of Debian's dpkg-dev",
        present: || program("dpkg-shlibdeps").is_some(),
    },
    Package { apt: &["xz-utils"], generic: "xz", present: || program("xz").is_some() },
    Package { apt: &["systemd"], generic: "systemd-analyze", present: || program("systemd-analyze").is_some() },
];

const AUTHORITY: &[Package] = &[Package {
    apt: &["pebble"],
    generic: "pebble and pebble-challtestsrv (a certificate authority for tests)",
    present: || ["pebble", "pebble-challtestsrv"].iter().all(|name| program(name).is_some()),
}];

/// A Redis for the tests of clusters. Debian's `redis-server` would start a service, on whoever's machine this is; its
/// `redis-tools` has the same program under the name of one of its parts.
const REDIS: &[Package] = &[Package {
    apt: &["redis-tools"],
    generic: "Redis or Valkey (the program alone, no service)",
    present: has_redis,
}];

/// The first whose test runner does what the tests ask of it.
const NODE: (u32, u32) = (18, 19);

const BROWSERS: &[Package] = &[
    Package { apt: &["chromium"], generic: "Chromium or Google Chrome", present: || chromium().is_some() },
    Package { apt: &["firefox-esr"], generic: "Firefox", present: || firefox().is_some() },
];

const FOOTAGE: &[Package] = &[Package { apt: &["ffmpeg"], generic: "ffmpeg", present: || program("ffmpeg").is_some() }];

const SYSROOT: &[Package] = &[Package {
    apt: &["debian-archive-keyring"],
    generic: "Debian's keys (debian-archive-keyring)",
    present: debian::has_keys,
}];

const TO_AMD64: &[Package] = &[Package {
    apt: if cfg!(target_arch = "x86_64") { &["g++"] } else { &["g++-x86-64-linux-gnu"] },
    generic: "g++ for x86_64-linux-gnu",
    present: || program("x86_64-linux-gnu-g++").is_some(),
}];

const TO_ARM64: &[Package] = &[Package {
    apt: if cfg!(target_arch = "aarch64") { &["g++"] } else { &["g++-aarch64-linux-gnu"] },
    generic: "g++ for aarch64-linux-gnu",
    present: || program("aarch64-linux-gnu-g++").is_some(),
}];

const GUEST: &[Package] = &[
    Package {
        apt: &["qemu-system-arm"],
        generic: "QEMU for AArch64",
        present: || program("qemu-system-aarch64").is_some(),
    },
    Package { apt: &["kmod"], generic: "modprobe and depmod", present: || administration("depmod").is_some() },
    Package { apt: &["binutils"], generic: "readelf", present: || program("readelf").is_some() },
    Package { apt: &["xz-utils"], generic: "xz", present: || program("xz").is_some() },
];

const EMULATOR: &[Package] = &[Package {
    apt: &["qemu-user-static"],
    generic: "QEMU's user emulation (qemu-aarch64-static)",
    present: || emulator().is_some(),
}];

const NETWORK: &[Package] = &[
    Package { apt: &["iproute2"], generic: "ip (iproute2)", present: || administration("ip").is_some() },
    Package { apt: &["dnsmasq-base"], generic: "dnsmasq", present: || administration("dnsmasq").is_some() },
    Package { apt: &["openssh-client"], generic: "ssh and ssh-keygen", present: || program("ssh-keygen").is_some() },
];

const CARD: &[Package] = &[
    Package { apt: &["mtools"], generic: "mtools", present: || program("mcopy").is_some() },
    Package { apt: &["e2fsprogs"], generic: "e2fsprogs", present: || administration("debugfs").is_some() },
];

const TREES: &[Package] =
    &[Package { apt: &["device-tree-compiler"], generic: "fdtput", present: || program("fdtput").is_some() }];

const IMAGE: &[Package] = &[
    Package { apt: &["mmdebstrap"], generic: "mmdebstrap", present: || program("mmdebstrap").is_some() },
    Package {
        // Nothing is foreign to a machine of that kind.
        apt: if cfg!(target_arch = "aarch64") { &[] } else { &["qemu-user-static", "binfmt-support", "arch-test"] },
        generic: "QEMU's user emulation for AArch64, registered with the kernel",
        present: || cfg!(target_arch = "aarch64") || has_foreign_programs(),
    },
    Package { apt: &["squashfs-tools"], generic: "mksquashfs", present: || program("mksquashfs").is_some() },
    Package { apt: &["e2fsprogs"], generic: "mke2fs", present: || administration("mke2fs").is_some() },
    Package { apt: &["dosfstools"], generic: "mkfs.vfat", present: || administration("mkfs.vfat").is_some() },
    Package { apt: &["mtools"], generic: "mtools", present: || program("mcopy").is_some() },
    Package { apt: &["fdisk"], generic: "sfdisk", present: || administration("sfdisk").is_some() },
    Package { apt: &["uidmap"], generic: "newuidmap", present: || is_root() || program("newuidmap").is_some() },
    Package { apt: &["kmod"], generic: "modprobe and depmod", present: || administration("depmod").is_some() },
    Package { apt: &["xz-utils"], generic: "xz", present: || program("xz").is_some() },
    Package { apt: &["zstd"], generic: "zstd", present: || program("zstd").is_some() },
];

/// Installs what is missing for this purpose, or says what to install.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    let wanted: &[&[Package]] = match purpose {
        Purpose::Build => &[BUILD],
        Purpose::Page => &[PAGE],
        Purpose::Rust => &[BUILD, READERS, SERVICE, AUTHORITY, REDIS],
        Purpose::Test => &[BUILD, READERS, SERVICE, AUTHORITY, REDIS, PAGE, BROWSERS],
        Purpose::Cross(Architecture::Amd64) => &[BUILD, SYSROOT, TO_AMD64],
        Purpose::Cross(Architecture::Arm64) => &[BUILD, SYSROOT, TO_ARM64],
        Purpose::Package => &[BUILD, PACKAGE],
        Purpose::Footage => &[FOOTAGE],
        Purpose::Emulator => &[EMULATOR],
        Purpose::Image => &[BUILD, SYSROOT, TO_ARM64, IMAGE],
        Purpose::Guest => &[BUILD, SYSROOT, TO_ARM64, GUEST],
        Purpose::Appliance => &[BUILD, SYSROOT, TO_ARM64, GUEST, PAGE, BROWSERS, NETWORK, CARD],
        Purpose::Board => &[BUILD, SYSROOT, TO_ARM64, GUEST, CARD, TREES],
    };
    let missing: Vec<&Package> = wanted.iter().copied().flatten().filter(|package| !(package.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let step = Step::begin("Install what the system lacks");
    if program("apt-get").is_none() {
        let names: Vec<_> = missing.iter().map(|package| format!("  - {}", package.generic)).collect();
        bail!(
            "this is no Debian, Ubuntu or Raspberry Pi OS, so install these by your system's own means, then try \
             again:\n{}",
            names.join("\n")
        );
    }
    refuse_snap_browsers(&missing)?;
    let packages: Vec<&str> = missing.iter().flat_map(|package| package.apt).copied().collect();
    install(&packages)?;
    if let Some(package) = missing.iter().find(|package| !(package.present)()) {
        bail!("{} is still missing after installing {}", package.generic, package.apt.join(", "));
    }
    step.done();
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let shown =
        format!("sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}", packages.join(" "));
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("These packages are missing: {}\n\n  {shown}\n", packages.join(" "));
        if program("sudo").is_none() {
            bail!("run this as root (without sudo), then try again");
        }
        if !stdin().is_terminal() {
            bail!("run the command above, then try again");
        }
        if !agreed("Run it now? [Y/n] ")? {
            bail!("without these packages it cannot go on");
        }
    }
    apt(root, &["update"])?;
    apt(root, &[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// The files of a package, without installing it: nothing of it is started. Below `folder`, as they would be below `/`.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).args(["download", package]);
        run::to_the_end_silently(&mut command)
    };
    if download().is_err() {
        // Most likely the lists are older than what there is.
        if is_root() {
            apt(true, &["update"])?;
        }
        download()?;
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let file = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            run::to_the_end(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(folder))?;
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

fn apt(root: bool, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if root {
        command.env("DEBIAN_FRONTEND", "noninteractive");
    } else {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    run::to_the_end(command.args(arguments))
}

/// Lets apt learn what there is today; who is not root must do that by hand.
pub(crate) fn refresh_package_lists() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("apt's package lists are missing or old; run this, then try again:\n\n  sudo apt-get update\n");
    }
    apt(true, &["update"])
}

fn agreed(question: &str) -> Result<bool> {
    print!("{question}");
    stdout().flush().context("cannot ask")?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes" | "j" | "ja"))
}

/// Ubuntu's browser packages only fetch snaps, which a test cannot give a profile folder of its own.
fn refuse_snap_browsers(missing: &[&Package]) -> Result<()> {
    if !on_ubuntu() {
        return Ok(());
    }
    let browsers: Vec<_> = missing
        .iter()
        .filter(|package| package.apt == ["chromium"] || package.apt == ["firefox-esr"])
        .map(|package| package.generic)
        .collect();
    if browsers.is_empty() {
        return Ok(());
    }
    bail!(
        "on Ubuntu the packages of {} are snaps, which the tests cannot drive. Install Google Chrome's own .deb and \
         Mozilla's own .deb (or unpack its .tar), name the programs if they are not found \
         (ROOMCAM_CHROMIUM=/path ROOMCAM_FIREFOX=/path), and try again. `cargo xtask test rust` needs no browser.",
        browsers.join(" and ")
    )
}

/// Whether this is Ubuntu, which names and cuts some packages differently.
pub(crate) fn on_ubuntu() -> bool {
    is_ubuntu(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn is_ubuntu(os_release: &str) -> bool {
    os_release.lines().any(|line| matches!(line, "ID=ubuntu" | "ID=\"ubuntu\""))
}

/// A program on the path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file))
}

/// A program of the administrator: not on everybody's path.
pub(crate) fn administration(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/sbin"].map(Path::new);
    program(name).or_else(|| folders.into_iter().map(|folder| folder.join(name)).find(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The Chromium that the tests drive: `ROOMCAM_CHROMIUM`, or the first on the path.
pub(crate) fn chromium() -> Option<PathBuf> {
    browser("ROOMCAM_CHROMIUM", &["chromium", "google-chrome-stable", "google-chrome", "chromium-browser"])
}

/// The Firefox that the tests drive: `ROOMCAM_FIREFOX`, or the first on the path.
pub(crate) fn firefox() -> Option<PathBuf> {
    browser("ROOMCAM_FIREFOX", &["firefox-esr", "firefox"])
}

fn browser(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = env::var_os(variable) {
        return Some(PathBuf::from(named));
    }
    names.iter().filter_map(|name| program(name)).find(|file| !is_snap(file))
}

/// A link into /snap, or the script of a transitional package that calls `snap`.
fn is_snap(file: &Path) -> bool {
    file.canonicalize().is_ok_and(|real| real.starts_with("/snap") || real.ends_with("snap"))
        || fs::read(file)
            .is_ok_and(|bytes| bytes.starts_with(b"#!") && String::from_utf8_lossy(&bytes).contains("/snap/"))
}

/// What runs programs for 64-bit ARM here.
pub(crate) fn emulator() -> Option<PathBuf> {
    ["qemu-aarch64-static", "qemu-aarch64"].iter().find_map(|name| program(name))
}

fn has_foreign_programs() -> bool {
    ["qemu-aarch64-static", "arch-test"].iter().all(|name| program(name).is_some())
        && administration("update-binfmts").is_some()
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn has_redis() -> bool {
    ["redis-server", "valkey-server", "redis-check-rdb", "valkey-check-rdb"].iter().any(|name| program(name).is_some())
}

fn has_libvpx() -> bool {
    run::succeeds(Command::new("pkg-config").args(["--exists", "vpx"]))
}

fn has_libturbojpeg() -> bool {
    run::succeeds(Command::new("pkg-config").args(["--exists", "libturbojpeg"]))
}

/// The oldest that the camera can be built with.
const LIBCAMERA: &str = "0.4";

/// Whether the camera can be built with libcamera here.
pub(crate) fn has_libcamera() -> bool {
    run::succeeds(Command::new("pkg-config").args(["--atleast-version", LIBCAMERA, "libcamera"]))
        && program("c++").is_some()
}

/// Where a camera is likely to be a module on a ribbon cable.
fn on_raspberry_pi() -> bool {
    fs::read("/proc/device-tree/model").is_ok_and(|model| model.starts_with(b"Raspberry Pi"))
}

/// The headers of the compiler matter too, so the library alone is not enough.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    if program("dpkg-query").is_none() {
        return program("llvm-config").is_some() || program("clang").is_some();
    }
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n", "libclang*-dev"]);
    run::output(&mut query).is_some_and(|list| list.lines().any(is_installed_libclang))
}

/// `libclang-dev` or `libclang-19-dev`, but neither `libclang-cpp19-dev` nor `libclang-common-19-dev`.
fn is_installed_libclang(line: &str) -> bool {
    let Some((name, "installed")) = line.split_once(' ') else { return false };
    name.strip_prefix("libclang-")
        .and_then(|rest| rest.strip_suffix("dev"))
        .is_some_and(|version| version.chars().all(|letter| letter.is_ascii_digit() || letter == '-' || letter == '.'))
}

fn has_authorities() -> bool {
    [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
    .iter()
    .any(|file| Path::new(file).exists())
}

fn has_node() -> bool {
    let version = run::output(Command::new("node").arg("--version"));
    program("npm").is_some()
        && version.and_then(|version| node_version(&version)).is_some_and(|version| version >= NODE)
}

fn node_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_read() {
        assert_eq!(node_version("v20.20.2\n"), Some((20, 20)));
        assert!(node_version("v9.1.0") < Some(NODE));
        assert_eq!(node_version("nonsense"), None);
    }

    #[test]
    fn only_the_library_with_its_headers_counts_as_libclang() {
        assert!(is_installed_libclang("libclang-dev installed"));
        assert!(is_installed_libclang("libclang-19-dev installed"));
        assert!(!is_installed_libclang("libclang-dev not-installed"));
        assert!(!is_installed_libclang("libclang-cpp19-dev installed"));
        assert!(!is_installed_libclang("libclang-common-19-dev installed"));
    }

    #[test]
    fn ubuntu_is_told_from_debian() {
        assert!(is_ubuntu("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"));
        assert!(!is_ubuntu("ID=debian\n"));
        assert!(!is_ubuntu("ID=raspbian\nID_LIKE=\"debian ubuntu\"\n"));
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-anywhere").is_none());
    }
}
