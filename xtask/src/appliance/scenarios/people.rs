//! What people do to a card: settings with mistakes, none at all, a code that was printed before, a key for ssh, a reset.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};

use crate::appliance::card::Card;
use crate::appliance::ground::{BOOT, Ground, JOINED, SOON, link, settings, wait_in};
use crate::appliance::machine::Machine;
use crate::appliance::scan;
use crate::run;
use crate::workspace;

const ERRORS: &str = "roomcam-errors.txt";

/// As Windows' editor saves it; two mistakes, in the lines 4 and 5.
fn mistaken() -> String {
    let text = settings("name = \"Kitchen\"\nfps = \"fast\"\nwidht = 640\nbitrate_kbps = 900\n");
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

/// Mistakes, then none; and with the second boot ssh and a reset.
pub(super) fn settings_and_keys(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("settings")?;
    card.write("roomcam.toml", mistaken().as_bytes())?;
    let mut machine = ground.boot(&card, "settings-bad")?;
    machine.console.wait_for(JOINED, BOOT)?;
    let first = ground.label(&mut machine, &card)?;
    ground.checks.check("settings: with mistakes in roomcam.toml, the camera streams", ground.sees(&first));
    let written = wait_in(&mut machine, &format!("test -s /boot/firmware/{ERRORS}"), SOON);
    ground.checks.check("settings: roomcam-errors.txt says where the mistakes are", {
        written.and_then(|()| card.text(ERRORS)).and_then(|text| names_mistakes(&text))
    });
    let name = machine.shell("grep -c Kitchen /run/roomcam/camera.toml");
    ground.checks.check("settings: what is right beside the mistakes counts", name.map(|_| String::new()));
    machine.power_off()?;
    let secret = identity_file(&card)?.context("the first boot left no identity")?;

    card.write("roomcam.toml", settings("name = \"Kitchen\"\n").as_bytes())?;
    card.write("roomcam-reset.txt", b"")?;
    let key = key(ground.folder)?;
    let public = fs::read(key.with_extension("pub")).context("cannot read the key made for ssh")?;
    card.write("authorized_keys", &public)?;
    let mut machine = ground.boot(&card, "settings-good")?;
    machine.console.wait_for(JOINED, BOOT)?;
    ssh(ground, &mut machine, &key);
    let second = link(&mut machine)?;
    let label = wait_in(&mut machine, &format!("! test -e /boot/firmware/{ERRORS}"), SOON)
        .and_then(|()| wait_in(&mut machine, "! test -e /boot/firmware/roomcam-reset.txt", SOON))
        .and_then(|()| ground.label(&mut machine, &card));
    machine.power_off()?;
    ground.checks.check("settings: once mended, roomcam-errors.txt is gone", {
        card.has(ERRORS).and_then(|there| if there { Err(anyhow!("it is there")) } else { Ok(String::new()) })
    });
    ground.checks.check("settings: roomcam-reset.txt makes another identity, and its label", {
        label.and_then(|label| {
            ensure!(second != first, "it is still {first}");
            ensure!(label == second, "the label says {label}, the card {second}");
            ensure!(!card.has("roomcam-reset.txt")?, "roomcam-reset.txt is still there");
            Ok(String::new())
        })
    });
    ground.checks.check("settings: after the reset the old secret is in no file", forgotten(&card, &secret));
    Ok(())
}

fn names_mistakes(text: &str) -> Result<String> {
    for (line, key) in [("4", "fps"), ("5", "widht")] {
        let named = text.lines().any(|said| said.contains(line) && said.contains(key));
        ensure!(named, "it does not say that {key} in line {line} is wrong:\n{text}");
    }
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).count().to_string() + " lines")
}

/// The identity on the card, as text.
pub(super) fn identity_file(card: &Card) -> Result<Option<String>> {
    card.data_file_text("/camera/identity")
}

/// The secrets of an identity, or why it is none.
pub(super) fn secrets(identity: &str) -> Result<[String; 2]> {
    let of = |key: &str| {
        let line = identity
            .lines()
            .find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('=')?.trim().strip_prefix('"'));
        let value = line.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        let whole = value.len() == 64 && value.bytes().all(|digit| digit.is_ascii_hexdigit());
        ensure!(whole, "the identity has no whole {key}");
        Ok(value)
    };
    Ok([of("private_key")?, of("nonce")?])
}

/// Of what files hold now; what a file system has let go of is another matter on flash memory anyway.
fn forgotten(card: &Card, identity: &str) -> Result<String> {
    let now = identity_file(card)?.context("there is no identity")?;
    let old = secrets(identity)?;
    ensure!(secrets(&now)?.iter().all(|secret| !old.contains(secret)), "the identity has still the old secret");
    let text = card.every_data_file()?;
    for secret in old {
        ensure!(!text.contains(&secret), "a file on the data partition holds it");
    }
    Ok(format!("{} bytes in files", text.len()))
}

/// A key pair for ssh.
fn key(folder: &Path) -> Result<PathBuf> {
    let key = folder.join("key");
    if !key.exists() {
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "proof", "-f"]).arg(&key);
        run::to_the_end_silently(&mut make).context("ssh-keygen is missing (package openssh-client)")?;
    }
    Ok(key)
}

fn ssh(ground: &Ground<'_>, machine: &mut Machine, key: &Path) {
    let checks = ground.checks;
    let listens = wait_in(machine, "grep -q ':0016 .* 0A ' /proc/net/tcp /proc/net/tcp6", SOON);
    checks.check("ssh: with authorized_keys on the card, port 22 is open and no other", {
        listens.and_then(|()| scan::every_port(ground.lane.card().into(), 0)).and_then(|scanned| {
            ensure!(scanned.open == [22], "these are open: {:?}", scanned.open);
            Ok(String::new())
        })
    });
    let login = |options: &[&str]| {
        let mut command = Command::new("ssh");
        command.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60", "-o", "IdentitiesOnly=yes"]);
        command.args(options).arg(format!("root@{}", ground.lane.card())).arg("echo inside");
        let output = command.stdin(Stdio::null()).output().context("cannot start ssh (package openssh-client)")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        anyhow::Ok((text(&output.stdout), text(&output.stderr)))
    };
    let key = key.display().to_string();
    checks.check(
        "ssh: that key opens",
        login(&["-i", &key]).and_then(|(said, why)| {
            ensure!(said.trim() == "inside", "ssh says: {why}");
            Ok(String::new())
        }),
    );
    let password = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive"];
    checks.check(
        "ssh: passwords are not even asked for",
        login(&password).and_then(|(said, why)| {
            ensure!(said.is_empty() && why.contains("denied (publickey)"), "ssh says: {said}{why}");
            Ok(String::new())
        }),
    );
}

/// A card without `roomcam.toml`, for a label that was printed before.
pub(super) fn nothing(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.untouched("nothing")?;
    if card.has("roomcam.toml")? {
        card.remove("roomcam.toml")?;
    }
    let provisioned = provision(ground.folder)?;
    card.write("identity", &provisioned)?;
    let mut machine = ground.boot(&card, "nothing")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let lease = format!("grep -q '{}' /proc/net/fib_trie", ground.lane.card());
    let lease = wait_in(&mut machine, &lease, SOON);
    ground
        .checks
        .check("nothing: without roomcam.toml it boots and asks for an address", lease.map(|()| String::new()));
    let gone = wait_in(&mut machine, "! test -e /boot/firmware/identity", SOON);
    let link = link(&mut machine)?;
    machine.power_off()?;
    ground.checks.check("provisioning: the camera has the identity that was on the boot partition", {
        identity_file(&card).and_then(|kept| {
            let kept = secrets(&kept.context("there is no identity on the data partition")?)?;
            ensure!(kept == secrets(&String::from_utf8_lossy(&provisioned))?, "it is another: {link}");
            Ok(String::new())
        })
    });
    ground.checks.check(
        "provisioning: it is no longer on the boot partition",
        gone.and_then(|()| {
            ensure!(!card.has("identity")?, "it is there");
            Ok(String::new())
        }),
    );
    Ok(())
}

/// One of the identities of a sheet of labels.
fn provision(folder: &Path) -> Result<Vec<u8>> {
    let sheet = folder.join("labels");
    for old in [sheet.with_extension("pdf"), sheet.clone()] {
        // Not there, at the first run.
        let _ = fs::remove_file(&old);
        let _ = fs::remove_dir_all(&old);
    }
    let mut make = Command::new(workspace::target().join("debug/camera-fw"));
    make.args(["label", "--server", "wss://signal.test:8192", "--sheet", "2", "--out"])
        .arg(sheet.with_extension("pdf"));
    run::to_the_end_silently(make.stdout(Stdio::null()))?;
    let identity = sheet.join("camera-02/identity");
    fs::read(&identity).with_context(|| format!("cannot read {}", identity.display()))
}
