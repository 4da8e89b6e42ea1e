//! `cargo xtask check image`: whether pi-gen would do with `image/` what `cargo xtask image` does with it.
//!
//! pi-gen passes over in silence what has another name than it looks for, and what may not be executed; a setting that it does
//! not know has no effect. So every file of a stage must be one that it runs, and every setting one that it reads.
//! (<https://github.com/RPi-Distro/pi-gen>: README.md, and `run_stage` in build.sh.)

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::entries;
use crate::debian::{self, Architecture, Archive, RELEASE};
use crate::run;
use crate::system;
use crate::workspace;

/// What the folder of a stage may have besides the folders of its steps. Not `EXPORT_IMAGE`: we make the image.
const IN_STAGE: [&str; 2] = ["prerun.sh", ".gitignore"];

/// What pi-gen looks for in the folder of a step, each after a number of two digits and a dash.
const STEPS: [&str; 6] = ["debconf", "packages", "packages-nr", "patches", "run.sh", "run-chroot.sh"];

/// What a step may have besides, for its scripts.
const IN_STEP: [&str; 2] = ["files", ".gitignore"];

/// The settings that pi-gen reads, of those that its README names.
const SETTINGS: [&str; 27] = [
    "IMG_NAME",
    "PI_GEN_RELEASE",
    "RELEASE",
    "APT_PROXY",
    "TEMP_REPO",
    "BASE_DIR",
    "WORK_DIR",
    "DEPLOY_DIR",
    "DEPLOY_COMPRESSION",
    "COMPRESSION_LEVEL",
    "USE_QEMU",
    "LOCALE_DEFAULT",
    "TARGET_HOSTNAME",
    "KEYBOARD_KEYMAP",
    "KEYBOARD_LAYOUT",
    "TIMEZONE_DEFAULT",
    "FIRST_USER_NAME",
    "FIRST_USER_PASS",
    "DISABLE_FIRST_BOOT_USER_RENAME",
    "PASSWORDLESS_SUDO",
    "WPA_COUNTRY",
    "ENABLE_SSH",
    "PUBKEY_SSH_FIRST_USER",
    "PUBKEY_ONLY_SSH",
    "SETFCAP",
    "STAGE_LIST",
    "ENABLE_CLOUD_INIT",
];

/// Our stages, in `image/`.
const STAGES_OF_OURS: [&str; 3] = ["stage-roomcam", "pi-gen/stage-libcamera", "pi-gen/stage-sysroot"];

/// The stages that pi-gen brings.
const STAGES: [&str; 6] = ["stage0", "stage1", "stage2", "stage3", "stage4", "stage5"];

/// Looks at all of it and says what is wrong.
pub(crate) fn lint() -> Result<()> {
    let image = workspace::root().join("image");
    let stages = STAGES_OF_OURS.map(|stage| image.join(stage));
    let mut wrong = Vec::new();
    let mut packages = BTreeSet::new();
    for stage in &stages {
        wrong.extend(stage_faults(stage)?);
        packages.extend(packages_of(stage)?);
    }
    for config in ["config", "config-sysroot"] {
        wrong.extend(config_faults(&image.join("pi-gen").join(config))?);
    }
    for script in scripts(&image)? {
        wrong.extend(script_fault(&script)?);
    }
    wrong.extend(package_faults(&packages)?);
    for fault in &wrong {
        println!("{fault}");
    }
    ensure!(wrong.is_empty(), "{} fault(s) in image/", wrong.len());
    Ok(())
}

/// What pi-gen would pass over, or fail at.
fn stage_faults(stage: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for entry in entries(stage)? {
        let name = name(&entry);
        if !entry.is_dir() {
            if !IN_STAGE.contains(&&*name) {
                wrong.push(format!("{}: pi-gen does nothing with it", entry.display()));
            }
            continue;
        }
        if numbered(&name).is_none() {
            wrong.push(format!("{}: a step begins with two digits, so that its place is plain", entry.display()));
        }
        for file in entries(&entry)? {
            let name = self::name(&file);
            let known = IN_STEP.contains(&&*name) || numbered(&name).is_some_and(|kind| STEPS.contains(&kind));
            if !known {
                wrong.push(format!("{}: pi-gen does nothing with it", file.display()));
            }
        }
    }
    if !stage.join("prerun.sh").exists() {
        wrong.push(format!("{}: without prerun.sh it does not go on from the stage before", stage.display()));
    }
    Ok(wrong)
}

/// Of `NN-KIND`, the kind.
fn numbered(name: &str) -> Option<&str> {
    let (number, kind) = name.split_once('-')?;
    (number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(kind)
}

/// The packages that a stage names.
fn packages_of(stage: &Path) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::new();
    for step in entries(stage)?.into_iter().filter(|entry| entry.is_dir()) {
        for list in entries(&step)?.into_iter().filter(|file| name(file).contains("-packages")) {
            let lines = read(&list)?;
            let lines = lines.lines().map(|line| line.split('#').next().unwrap_or_default());
            packages.extend(lines.flat_map(str::split_whitespace).map(str::to_owned));
        }
    }
    Ok(packages)
}

fn config_faults(file: &Path) -> Result<Vec<String>> {
    let text = read(file)?;
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let key = line.split('=').next().unwrap_or_default();
        // A name of our own, for the next line.
        if !SETTINGS.contains(&key) && key != "ROOMCAM" {
            wrong.push(format!("{}: pi-gen knows no setting {key}", file.display()));
        }
    }
    // As pi-gen reads it.
    let mut ask = Command::new("bash");
    ask.args(["-eu", "-c", "source \"$0\"; echo \"$RELEASE\"; echo \"$STAGE_LIST\""]).arg(file);
    let said = run::output(&mut ask).with_context(|| format!("bash does not read {}", file.display()))?;
    let (release, stages) = said.split_once('\n').unwrap_or_default();
    if release != RELEASE {
        wrong.push(format!("{}: the release is {release}, and the agent is built for {RELEASE}", file.display()));
    }
    for stage in stages.split_whitespace() {
        let ours = STAGES_OF_OURS.iter().any(|name| Path::new(stage) == workspace::root().join("image").join(name));
        if !STAGES.contains(&stage) && !ours {
            wrong.push(format!("{}: there is no stage {stage}", file.display()));
        }
    }
    Ok(wrong)
}

/// Everything below that is run.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        if entry.is_symlink() {
            continue;
        }
        if entry.is_dir() {
            found.extend(scripts(&entry)?);
        } else if name(&entry).ends_with(".sh") || shell(&entry).is_some() {
            found.push(entry);
        }
    }
    Ok(found)
}

/// The shell that a file names in its first line.
fn shell(file: &Path) -> Option<&'static str> {
    let text = fs::read(file).ok()?;
    let first = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next()?).into_owned();
    let program = first.strip_prefix("#!")?.trim();
    // busybox's shell is one of the plain kind.
    if program.contains("bash") { Some("bash") } else { program.contains("sh").then_some("sh") }
}

fn script_fault(file: &Path) -> Result<Option<String>> {
    let mode = file.metadata().with_context(|| format!("cannot read {}", file.display()))?.permissions().mode();
    if mode & 0o100 == 0 {
        return Ok(Some(format!("{}: it may not be executed, so pi-gen passes it over", file.display())));
    }
    // What runs in the new system names no shell: pi-gen hands it to bash.
    let shell = shell(file).unwrap_or("bash");
    if !run::succeeds(Command::new(shell).arg("-n").arg(file)) {
        return Ok(Some(format!("{}: {shell} -n finds errors in it", file.display())));
    }
    if system::program("shellcheck").is_some() {
        let mut check = Command::new("shellcheck");
        check.args(["--shell", shell, "--severity", "warning", "--format", "gcc"]).arg(file);
        let output = check.output().context("cannot start shellcheck")?;
        if !output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()));
        }
    }
    Ok(None)
}

/// Names that no package has; where Debian's lists can be had.
fn package_faults(packages: &BTreeSet<String>) -> Result<Vec<String>> {
    if let Some(reason) = debian::impossible() {
        println!("The names of packages are not checked: {reason}.");
        return Ok(Vec::new());
    }
    let archive = Archive::open(Architecture::Arm64)?;
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    if archive.files(&names).is_ok() {
        return Ok(Vec::new());
    }
    let unknown: Vec<_> = names.into_iter().filter(|name| archive.files(&[name]).is_err()).collect();
    ensure!(!unknown.is_empty(), "the packages of the stages cannot be installed together");
    Ok(unknown.into_iter().map(|name| format!("{RELEASE} has no package {name} for arm64")).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysroot;

    fn here(path: &str) -> PathBuf {
        workspace::root().join("image").join(path)
    }

    /// A stage of a test's own.
    fn stage(name: &str, files: &[(&str, &str, u32)]) -> PathBuf {
        let stage = std::env::temp_dir().join(format!("roomcam-stage-{}-{name}", std::process::id()));
        for (path, text, mode) in files {
            let file = stage.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
        }
        stage
    }

    #[test]
    fn what_pi_gen_would_pass_over_is_found() {
        let stage = stage(
            "over",
            &[
                ("prerun.sh", "#!/bin/bash -e\n", 0o755),
                ("EXPORT_IMAGE", "", 0o644),
                ("00-system/00-packages", "systemd # the first\nudev\n", 0o644),
                ("00-system/0-run.sh", "", 0o755),
                ("00-system/files/etc/x", "", 0o644),
                ("camera/00-run.sh", "#!/bin/bash -e\n", 0o644),
                ("camera/01-run.sh", "#!/bin/bash -e\nif\n", 0o755),
            ],
        );
        let wrong = stage_faults(&stage).unwrap();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert_eq!(packages_of(&stage).unwrap().into_iter().collect::<Vec<_>>(), ["systemd", "udev"]);
        let scripts = scripts(&stage).unwrap();
        let faults: Vec<_> = scripts.iter().filter_map(|script| script_fault(script).unwrap()).collect();
        fs::remove_dir_all(&stage).unwrap();
        assert_eq!(faults.len(), 2, "one is not executable, one is no bash: {faults:?}");
    }

    #[test]
    fn settings_that_pi_gen_does_not_know_are_found() {
        let folder = stage(
            "config",
            &[("config", "RELEASE=bookworm\nSTAGES=\"stage0\"\nSTAGE_LIST=\"stage0 stage9\"\n", 0o644)],
        );
        let wrong = config_faults(&folder.join("config")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }

    #[test]
    fn pi_gen_s_sysroot_has_what_ours_has() {
        let packages = packages_of(&here("pi-gen/stage-sysroot")).unwrap();
        let ours: BTreeSet<_> = sysroot::DEVELOPMENT.iter().map(ToString::to_string).collect();
        assert_eq!(packages, ours);
    }

    #[test]
    fn our_own_stages_and_settings_are_in_order() {
        for stage in STAGES_OF_OURS {
            assert_eq!(stage_faults(&here(stage)).unwrap(), Vec::<String>::new());
        }
        for config in ["config", "config-sysroot"] {
            assert_eq!(config_faults(&here("pi-gen").join(config)).unwrap(), Vec::<String>::new());
        }
    }
}
