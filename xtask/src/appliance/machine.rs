//! A card in an emulated machine: QEMU, its console, its buttons and plugs (QMP), and a way to look inside.
//!
//! Everything that tests add comes by the kernel's line: the console, the camera of the laboratory, and one unit that
//! gives us a shell on a virtio port. The card's own files stay as they are.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::card::Card;
use super::console::Console;
use super::network::Lane;
use super::shell::{self, Shell};
use crate::run;

/// A Raspberry Pi 4's processor, as far as a program can tell.
const MACHINE: &[&str] = &[
    "-machine",
    "virt,gic-version=3",
    "-cpu",
    "cortex-a72",
    "-accel",
    "tcg,thread=multi",
    "-m",
    "1024",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
];

/// The camera of the laboratory: its only input is S-Video, with NTSC, so 720x480.
const VIVID: &str = "vivid.n_devs=1 vivid.node_types=0x1 vivid.num_inputs=1 vivid.input_types=0x2";

/// What the kernel of arm64 reads of its line.
const LINE_BYTES: usize = 2048;

/// How long a machine may take to switch itself off.
const OFF_WITHIN: Duration = Duration::from_secs(120);

/// How a card is put to use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plugs {
    pub(crate) lane: Lane,
    pub(crate) cores: u8,
    /// There from the start; else it comes with [`Machine::plug_network`].
    pub(crate) network: bool,
    /// As above, and [`Machine::plug_camera`].
    pub(crate) camera: bool,
    pub(crate) display: bool,
    /// Whether its clock stands at 1970 when it starts, as it does without a battery.
    pub(crate) without_clock: bool,
    /// Whether the journal is on the console, which takes time.
    pub(crate) journal: bool,
}

impl Plugs {
    pub(crate) const fn all(lane: Lane, cores: u8) -> Self {
        Self { lane, cores, network: true, camera: true, display: false, without_clock: false, journal: true }
    }
}

/// A running card.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    pub(crate) console: Console,
    qmp: Qmp,
    shell: Shell,
    pub(crate) begun: Instant,
    sockets: PathBuf,
}

impl Machine {
    /// Switches it on. `name` is that of its log, in `folder`.
    pub(crate) fn start(card: &Card, plugs: Plugs, folder: &Path, name: &str) -> Result<Self> {
        let own = folder.join(name);
        fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        for file in ["kernel8.img", "initramfs.img"] {
            let copy = own.join(file);
            fs::write(&copy, card.read(file)?).with_context(|| format!("cannot write {}", copy.display()))?;
        }
        let sockets = sockets(name)?;
        let line = format!("{} {}", card.text("cmdline.txt")?.trim(), additions(plugs));
        ensure!(line.len() < LINE_BYTES, "the kernel's line is too long, {} bytes: {line}", line.len());
        let mut command = Command::new("qemu-system-aarch64");
        command.args(MACHINE).arg("-smp").arg(plugs.cores.to_string());
        command.arg("-kernel").arg(own.join("kernel8.img")).arg("-initrd").arg(own.join("initramfs.img"));
        command.arg("-append").arg(line).args(devices(card, plugs, &sockets));
        let complaints = fs::File::create(own.join("qemu.log")).context("cannot write QEMU's log")?;
        let begun = Instant::now();
        let mut child = run::ending_with_us(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .context("cannot start QEMU")?;
        let output = child.stdout.take().context("QEMU has no output")?;
        let console = Console::follow(output, &own.join("console.log"))?;
        let connect = |socket: &str| connect(&sockets.join(socket), &mut child, &own);
        let mut connect = connect;
        let qmp = connect("qmp").and_then(Qmp::greet)?;
        let shell = Shell::on(connect("shell")?)?;
        Ok(Self { child, console, qmp, shell, begun, sockets })
    }

    /// What a command in the card prints; an error if it fails.
    pub(crate) fn shell(&mut self, command: &str) -> Result<String> {
        self.shell.run(command).with_context(|| self.console.last_lines())
    }

    /// The network card is plugged in.
    pub(crate) fn plug_network(&mut self, lane: Lane) -> Result<()> {
        let device = json!({ "driver": "virtio-net-pci", "netdev": "cable", "mac": lane.mac(), "bus": "plug" });
        self.qmp.order("device_add", &device).map(drop)
    }

    /// The camera is plugged in.
    pub(crate) fn plug_camera(&mut self) -> Result<()> {
        self.shell("modprobe vivid").map(drop)
    }

    /// Photographs what is plugged in at HDMI.
    pub(crate) fn photograph(&mut self, file: &Path, png: bool) -> Result<()> {
        let format = if png { "png" } else { "ppm" };
        self.qmp.order("screendump", &json!({ "filename": file, "format": format })).map(drop)
    }

    /// How often something was written to the card.
    pub(crate) fn writes(&mut self) -> Result<u64> {
        let drives = self.qmp.order("query-blockstats", &json!({}))?;
        let writes =
            drives.as_array().into_iter().flatten().filter_map(|drive| drive["stats"]["wr_operations"].as_u64());
        Ok(writes.sum())
    }

    /// Pulls the plug.
    pub(crate) fn cut(mut self) -> Result<()> {
        self.child.kill().context("cannot kill QEMU")?;
        self.child.wait().context("cannot wait for QEMU").map(drop)
    }

    /// Switches it off in order.
    pub(crate) fn power_off(mut self) -> Result<()> {
        self.shell("systemctl --no-block poweroff")?;
        let until = Instant::now() + OFF_WITHIN;
        while self.ended()?.is_none() {
            ensure!(Instant::now() < until, "the card does not switch itself off; {}", self.console.last_lines());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask after QEMU")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All of them fail if it has ended by itself, or was taken away already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.sockets);
    }
}

/// A folder whose name is short: a socket's must have less than 108 bytes.
fn sockets(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("roomcam-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// What is added to the kernel's line.
fn additions(plugs: Plugs) -> String {
    // The last console is that of PID 1 and of the journal.
    let mut line = format!("console=ttyAMA0 {VIVID} {}", shell::unit());
    if plugs.journal {
        line += " systemd.journald.forward_to_console=1";
    }
    if plugs.camera {
        line += " modules_load=vivid";
    }
    line
}

fn devices(card: &Card, plugs: Plugs, sockets: &Path) -> Vec<String> {
    let socket = |name: &str| format!("socket,id={name},server=on,wait=off,path={}", sockets.join(name).display());
    let mut devices: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| devices.extend([option.to_owned(), value]);
    // The first virtio device: its number is in the shell's unit.
    add("-device", "virtio-serial-pci".into());
    add("-chardev", socket("shell"));
    add("-device", "virtserialport,chardev=shell,name=shell".into());
    add("-device", "virtio-rng-pci".into());
    // It only counts: under load an emulated machine may be slow to feed it.
    add("-device", "i6300esb".into());
    add("-action", "watchdog=none".into());
    add("-chardev", socket("qmp"));
    add("-mon", "chardev=qmp,mode=control".into());
    add("-chardev", "file,id=console,path=/dev/stdout".into());
    add("-serial", "chardev:console".into());
    add("-drive", format!("if=none,id=card,format=raw,file={}", card.file.display()));
    add("-device", "virtio-blk-pci,drive=card".into());
    add("-netdev", format!("tap,id=cable,ifname={},script=no,downscript=no", plugs.lane.tap()));
    add("-device", "pcie-root-port,id=plug,slot=1".into());
    if plugs.network {
        add("-device", format!("virtio-net-pci,netdev=cable,mac={}", plugs.lane.mac()));
    }
    if plugs.display {
        add("-device", "virtio-gpu-pci".into());
    }
    if plugs.without_clock {
        add("-rtc", "base=1970-01-01".into());
    }
    devices
}

/// QEMU makes its sockets when it is ready for them.
fn connect(socket: &Path, child: &mut Child, own: &Path) -> Result<UnixStream> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        let complaints = || fs::read_to_string(own.join("qemu.log")).unwrap_or_default();
        if let Some(status) = child.try_wait().context("cannot ask after QEMU")? {
            bail!("QEMU ended ({status}): {}", complaints());
        }
        ensure!(Instant::now() < until, "QEMU does not listen on {}: {}", socket.display(), complaints());
        thread::sleep(Duration::from_millis(10));
    }
}

/// QEMU's own interface: a JSON object a line.
#[derive(Debug)]
struct Qmp(BufReader<UnixStream>);

impl Qmp {
    fn greet(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(60))).context("cannot set a socket's patience")?;
        let mut qmp = Self(BufReader::new(stream));
        qmp.line()?;
        qmp.order("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    fn order(&mut self, what: &str, arguments: &Value) -> Result<Value> {
        let order = json!({ "execute": what, "arguments": arguments });
        writeln!(self.0.get_mut(), "{order}").context("QEMU takes no orders")?;
        loop {
            let answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU does not {what}: {error}");
            }
            // Others are events.
            if let Some(answer) = answer.get("return") {
                return Ok(answer.clone());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("QEMU does not answer")?;
        serde_json::from_str(&line).with_context(|| format!("QEMU answers {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_leaves_room_for_the_card_s_own_line() {
        let line = additions(Plugs::all(Lane(0), 2));
        assert!(line.len() < LINE_BYTES / 2, "{}", line.len());
        assert!(line.contains(" modules_load=vivid"));
        let late = Plugs { camera: false, journal: false, ..Plugs::all(Lane(0), 2) };
        assert!(!additions(late).contains("modules_load"));
    }
}
