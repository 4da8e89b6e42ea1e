//! With true partitions: full ones, read-only ones, missing ones. Left out where nobody may mount anything.

use std::fs;
use std::process::Command;

use camera_fw::identity::Identity;

use crate::device::{Device, PROGRAM, SERVER, provisioning_file, said};

/// Runs a script with true mounts that nobody else sees; false where that is not possible.
fn with_mounts(device: &Device, script: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    let runs = format!(
        "start() {{ for stage in prepare present; do case $stage in prepare) more='--user nobody';; *) more='--console screen';; \
         esac; {PROGRAM:?} appliance $stage --boot boot --data data --run run --root root $more 2>>log || exit 1; done; }}\n\
         {script}"
    );
    let probe = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "mount", "-t", "tmpfs", "x", "/mnt"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("mounts of one's own are not possible here: left out");
        return false;
    }
    let output = command.arg(runs).current_dir(device.dir.path()).output().unwrap();
    if output.status.code() == Some(77) {
        eprintln!("a disk in a file cannot be mounted here: left out");
        return false;
    }
    assert!(output.status.success(), "{}\n{}", said(&output), device.read("log"));
    true
}

#[test]
fn a_full_data_partition_costs_the_identity_and_nothing_else() {
    let device = Device::new(SERVER);
    let done = with_mounts(
        &device,
        "mount -t tmpfs -o size=16k x data
         head -c 100000 /dev/zero >data/full || true
         start; cp run/camera.toml first; cp boot/roomcam-errors.txt errors
         rm data/full; start; cp run/camera.toml second; head -c 100000 /dev/zero >data/full || true
         start; cp run/camera.toml third; cp data/camera/identity .; test ! -e boot/roomcam-errors.txt",
    );
    if !done {
        return;
    }
    assert!(device.read("first").contains("run/state"));
    assert!(
        device.read("errors").contains("the data partition cannot be written (No space left"),
        "{}",
        device.read("errors")
    );
    assert!(device.read("second").contains("data/camera") && device.read("third").contains("data/camera"));
}

#[test]
fn partitions_that_cannot_be_written_are_said_and_the_boot_partition_stays_read_only() {
    let (file, identity) = provisioning_file();
    let device = Device::new(SERVER);
    fs::write(device.path("file"), file).unwrap();
    let done = with_mounts(
        &device,
        "cp boot/roomcam.toml .; mount -t tmpfs -o nosuid,nodev,noexec x boot; cp roomcam.toml boot
         mount -o remount,ro boot
         # Nothing is mounted where the data partition should be.
         start; cp boot/roomcam-errors.txt missing; test ! -e boot/roomcam-label.svg
         grep ' '$PWD/boot' tmpfs ro,nosuid,nodev,noexec' /proc/mounts
         # A disk, of which nobody can tell that it is none.
         dd if=/dev/zero of=disk bs=1M count=8 2>/dev/null; mkfs.ext4 -q disk || exit 77; mount -o loop disk data || exit 77
         start; test -s boot/roomcam-label.svg; test ! -e boot/roomcam-errors.txt; cp data/camera/identity kept
         grep ' '$PWD/boot' tmpfs ro,' /proc/mounts
         mount -o remount,ro data; start; test ! -e boot/roomcam-errors.txt; cmp data/camera/identity kept
         # Another identity, which cannot be kept: its file stays.
         mount -o remount,rw boot; cp file boot/identity; mount -o remount,ro boot
         start; cp run/state/identity taken; test -e boot/identity; cp boot/roomcam-errors.txt unkept
         mount -o remount,rw data; start; test ! -e boot/identity; test ! -e boot/roomcam-errors.txt",
    );
    if !done {
        return;
    }
    assert!(device.read("missing").contains("missing or damaged"), "{}", device.read("missing"));
    assert!(device.read("unkept").contains("stays in its file on the boot partition"), "{}", device.read("unkept"));
    let dir = tempfile::tempdir().unwrap();
    fs::copy(device.path("taken"), dir.path().join("identity")).unwrap();
    assert_eq!(Identity::load(dir.path()).unwrap(), identity);
}
