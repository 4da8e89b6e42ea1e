//! `cargo xtask test pi4`: the very card in QEMU's model of a Raspberry Pi 4, with the device tree of that board.
//!
//! ```text
//! Debian trixie ─▶ qemu-system-arm with all its libraries, unpacked ─┐
//! card ─▶ kernel8.img, initramfs.img, cmdline.txt ───────────────────┼▶ QEMU (raspi4b) ─▶ console ─▶ checks
//!      └▶ bcm2711-rpi-4-b.dtb ─▶ fdtput, without what QEMU lacks ────┘
//! ```
//!
//! QEMU knows the board since version 9, which a system may not have; so it is taken from the release that the card is made
//! of. The model has no network, no random numbers, no watchdog and no HDMI, and the board's firmware is not run: the kernel is loaded
//! by QEMU. It shows that the card's own kernel, initramfs and root start on the board's processor, interrupts, serial port
//! and one of its card controllers. It takes minutes, so it is no part of `cargo xtask test`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::card::Card;
use super::checks::Checks;
use super::console::Console;
use crate::debian::{Architecture, Archive, Extent};
use crate::progress::{Shown, Step};
use crate::run;
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::workspace;

const TREE: &str = "bcm2711-rpi-4-b.dtb";

/// What the model does not have, and whose driver would stop the kernel or wait for it: the display, and what measures the
/// chip's heat.
const LACKING: &[&str] = &[
    "/gpu",
    "/soc/avs-monitor@7d5d2000",
    "/soc/clock@7ef00000",
    "/soc/hdmi@7ef00700",
    "/soc/hdmi@7ef05700",
    "/soc/hvs@7e400000",
    "/soc/i2c@7ef04500",
    "/soc/i2c@7ef09500",
    "/soc/interrupt-controller@7ef00100",
    "/soc/pixelvalve@7e206000",
    "/soc/pixelvalve@7e207000",
    "/soc/pixelvalve@7e20a000",
    "/soc/pixelvalve@7e216000",
    "/soc/pixelvalve@7ec12000",
    "/soc/pwm@7e20c800",
    "/soc/txp@7e004000",
    "/soc/vec@7ec13000",
];

/// Where the model has the card: at the controller that serves Wi-Fi on the board. So that is made a reader of cards.
const READER: &str = "/soc/mmc@7e300000";
const WIFI: &str = "/soc/mmc@7e300000/wifi@1";
const FOR_WIFI: [&str; 4] = ["mmc-pwrseq", "non-removable", "pinctrl-0", "pinctrl-names"];

/// The board's pins have the small serial port (UART1), whose interrupt never ends in the model: one processor does nothing
/// else. So the console is the port that serves Bluetooth on the board.
const PINS: &str = "/soc/serial@7e215040";
const PORT: &str = "/soc/serial@7e201000";
const BLUETOOTH: &str = "/soc/serial@7e201000/bluetooth";

/// What the kernel and the journal say, on the console. And no watchdog: the model takes its setting for its end, and stops.
const CONSOLE: &str = "console=ttyAMA0 loglevel=6 systemd.journald.forward_to_console=1 systemd.watchdog_sec=0";

/// It was seen to take under two minutes.
const BOOT: Duration = Duration::from_secs(900);

/// `cargo xtask test pi4`.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    system::prepare(Purpose::Board)?;
    let folder = workspace::target().join("pi4");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let qemu = qemu(&folder)?;
    let original = super::card()?;
    let step = Step::begin("Boot the card in a Raspberry Pi 4");
    let file = folder.join("card.img");
    let card = Card::copy(&original, &file)?;
    grow(&file)?;
    let mut board = Board::start(&qemu, &card, &folder)?;
    let checks = Checks::default();
    for (name, words) in [
        ("the initramfs finds the card and hands over", &["initramfs: done after"][..]),
        ("the agent starts", &["agent started"]),
        ("systemd is done", &["Startup finished in"]),
    ] {
        let outcome = board.console.wait_for(words, BOOT);
        let failed = outcome.is_err();
        checks.check(name, outcome.map(|line| line.trim().to_owned()));
        if failed {
            break;
        }
    }
    board.end();
    tally.read(&checks.sum());
    println!("  {}", Shown(if checks.all_passed() { step.done() } else { step.failed() }));
    ensure!(checks.all_passed(), "see {}", board.console.log.display());
    Ok(())
}

/// QEMU of Debian's release, with its loader and libraries; kept once it is there.
fn qemu(folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("qemu");
    if tree.exists() {
        return Ok(tree);
    }
    let own = Architecture::own().context("there is no such QEMU for this machine")?;
    let step = Step::begin("Fetch QEMU");
    let partial = folder.join("qemu.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    Archive::open(own)?.unpack(&["qemu-system-arm"], Extent::Closed, &partial)?;
    fs::rename(&partial, &tree).with_context(|| format!("cannot rename {}", partial.display()))?;
    step.done();
    Ok(tree)
}

/// An SD card's size is a power of two to QEMU.
fn grow(card: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(card);
    let file = file.with_context(|| format!("cannot write {}", card.display()))?;
    let size = file.metadata().with_context(|| format!("cannot look at {}", card.display()))?.len();
    file.set_len(size.next_power_of_two()).with_context(|| format!("cannot grow {}", card.display()))
}

/// The running board.
#[derive(Debug)]
struct Board {
    child: Child,
    console: Console,
}

impl Board {
    fn start(tree: &Path, card: &Card, folder: &Path) -> Result<Self> {
        for file in ["kernel8.img", "initramfs.img", TREE] {
            let copy = folder.join(file);
            fs::write(&copy, card.read(file)?).with_context(|| format!("cannot write {}", copy.display()))?;
        }
        let devices = folder.join(TREE);
        for node in LACKING.iter().chain(&[PINS]) {
            let mut put = Command::new("fdtput");
            run::to_the_end_silently(put.args(["-t", "s"]).arg(&devices).args([node, "status", "disabled"]))?;
        }
        let wiring = ["pinctrl-0", "pinctrl-names"].map(|property| (PORT, property));
        for (node, property) in FOR_WIFI.map(|property| (READER, property)).into_iter().chain(wiring) {
            run::to_the_end_silently(Command::new("fdtput").arg("-d").arg(&devices).args([node, property]))?;
        }
        for node in [WIFI, BLUETOOTH] {
            run::to_the_end_silently(Command::new("fdtput").arg("-r").arg(&devices).arg(node))?;
        }
        let own = Architecture::own().context("there is no such QEMU for this machine")?;
        let loader = match own {
            Architecture::Amd64 => "ld-linux-x86-64.so.2",
            Architecture::Arm64 => "ld-linux-aarch64.so.1",
        };
        let libraries = tree.join("usr/lib").join(own.gnu());
        let mut command = Command::new(libraries.join(loader));
        command.arg("--library-path").arg(&libraries).arg(tree.join("usr/bin/qemu-system-aarch64"));
        command.arg("-L").arg(tree.join("usr/share/qemu"));
        command.args(["-machine", "raspi4b", "-nodefaults", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(folder.join("kernel8.img")).arg("-initrd").arg(folder.join("initramfs.img"));
        command.arg("-dtb").arg(devices).arg("-append").arg(format!("{} {CONSOLE}", card.text("cmdline.txt")?.trim()));
        command.arg("-drive").arg(format!("if=sd,format=raw,file={}", card.file.display()));
        command.args(["-chardev", "file,id=console,path=/dev/stdout", "-serial", "chardev:console"]);
        let complaints = fs::File::create(folder.join("qemu.log")).context("cannot write QEMU's log")?;
        let mut child = run::ending_with_us(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .context("cannot start QEMU")?;
        let output = child.stdout.take().context("QEMU has no output")?;
        let console = Console::follow(output, &folder.join("console.log"))?;
        Ok(Self { child, console })
    }

    fn end(&mut self) {
        // Both fail if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.end();
    }
}
