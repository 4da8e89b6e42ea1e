//! A device whose partitions are folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use camera_fw::code;
use camera_fw::identity::Identity;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_camera-fw");
pub(crate) const SERVER: &str = "server = \"wss://cam.example.org\"\n";
pub(crate) const PAGE: &str = "https://cam.example.org:8192/";
pub(crate) const LABEL: &str = "roomcam-label.svg";
pub(crate) const ERRORS: &str = "roomcam-errors.txt";

/// A device that can be switched on.
pub(crate) struct Device {
    pub(crate) dir: TempDir,
}

/// What became of a start.
pub(crate) struct Start {
    pub(crate) log: String,
    pub(crate) screen: String,
    /// Of the file on the boot partition; empty if there is none.
    pub(crate) errors: String,
}

impl Device {
    pub(crate) fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The agent's user has to find its folder.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let device = Self { dir };
        let misc = device.path("root/sys/class/misc/hw_random");
        for folder in ["boot", "data", "root/dev"].map(|name| device.path(name)).iter().chain([&misc]) {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(misc.join("rng_current"), "a-generator\n").unwrap();
        fs::write(device.path("root/dev/hwrng"), [7; 64]).unwrap();
        for file in ["root/dev/urandom", "root/dev/gpiochip0", "screen"] {
            fs::write(device.path(file), "").unwrap();
        }
        device.settings(settings);
        device
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn settings(&self, text: &str) {
        fs::write(self.path("boot/roomcam.toml"), text).unwrap();
    }

    pub(crate) fn command(&self, stage: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAMERA_FW_")) {
            command.env_remove(name);
        }
        command.args(["--log", "trace", "appliance", stage]).stdin(Stdio::null());
        for folder in ["boot", "data", "run", "root"] {
            command.arg(format!("--{folder}")).arg(self.path(folder));
        }
        match stage {
            "prepare" => command.args(["--user", "nobody"]),
            _ => command.arg("--console").arg(self.path("screen")),
        };
        command
    }

    pub(crate) fn start(&self) -> Start {
        let mut log = String::new();
        for stage in ["prepare", "present"] {
            let output = self.command(stage).output().unwrap();
            log.push_str(&said(&output));
            assert!(output.status.success(), "{log}");
            assert!(output.stdout.is_empty());
        }
        Start { log, screen: self.read("screen"), errors: self.read(&format!("boot/{ERRORS}")) }
    }

    /// The state folder that the agent is told of.
    pub(crate) fn state(&self) -> PathBuf {
        let settings: toml::Table = toml::from_str(&self.read("run/camera.toml")).unwrap();
        settings["state_dir"].as_str().unwrap().into()
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::load(&self.state()).unwrap()
    }

    pub(crate) fn link(&self) -> String {
        code::link(self.identity().code(), PAGE)
    }

    /// The settings that the agent comes to.
    pub(crate) fn agent(&self) -> String {
        let mut command = Command::new(PROGRAM);
        let output = command.arg("--config").arg(self.path("run/camera.toml")).arg("--print-config").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that is kept when the power goes, and when it was written.
    pub(crate) fn kept(&self) -> BTreeMap<PathBuf, (u64, i64, i64, Vec<u8>)> {
        let files = [self.path("boot"), self.path("data")].into_iter().flat_map(|folder| files(&folder));
        files
            .map(|path| {
                let metadata = fs::metadata(&path).unwrap();
                let content = fs::read(&path).unwrap();
                (path, (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), content))
            })
            .collect()
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The text of an identity's file, and it.
pub(crate) fn provisioning_file() -> (String, Identity) {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(dir.path()).unwrap();
    (fs::read_to_string(dir.path().join("identity")).unwrap(), identity)
}
