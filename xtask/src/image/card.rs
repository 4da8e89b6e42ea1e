//! The card: partitions, and the file systems in them, made without a loop device and without being root.
//!
//! | partition | what | |
//! |---|---|---|
//! | 1 | FAT, `ROOMCAM` | What the board starts from, and the files that a person edits |
//! | 2 | FAT, `ROOMCAM-B` | Empty: the second system's kernel, once there is one |
//! | 3 | ext4, `roomcam-data` | Identity, state, saved time: all that is ever written |
//! | 5 | squashfs | The root |
//! | 6 | | Room for the second root |
//!
//! A table of the old kind (MBR), which every board's first loader reads; it takes `bootcode.bin` from partition 1 alone
//! (Pi 3, Zero 2 W), so that one stays what the board starts from. Numbers and dates are made from the content: the same
//! card again, byte for byte.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::inputs::Inputs;
use super::kernel::Kernel;
use super::root::Root;
use super::{Work, copy, entries, name_of, quietly, recipe};
use crate::run;
use crate::system;

const MIB: u64 = 1024 * 1024;

/// In MiB, from the card's beginning: partitions begin where erase blocks of cards do.
const BOOT: Span = Span { start: 4, size: 128 };
const SPARE_BOOT: Span = Span { start: 132, size: 128 };
const DATA: Span = Span { start: 260, size: 64 };
/// The extended partition holds what follows; each logical one has its own table a MiB before it.
const EXTENDED: Span = Span { start: 324, size: 2 * (ROOT.size + 4) };
const ROOT: Span = Span { start: 328, size: 160 };
const SPARE_ROOT: Span = Span { start: 492, size: ROOT.size };
const END: u64 = EXTENDED.start + EXTENDED.size;

/// The text of the kernel's line that stands for the card's number.
const DISK: &str = "@DISK@";

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    size: u64,
}

pub(super) fn prepare(work: &mut Work, kernel: &Kernel, root: &Root, initramfs: &Path) -> Result<PathBuf> {
    let boot = recipe("boot");
    let inputs = Inputs::of("card 1").value(&kernel.folder).value(initramfs).path(&root.image).path(&boot);
    let digest = inputs.value(work.epoch).digest();
    let name = format!("roomcam-{}-arm64.img", env!("CARGO_PKG_VERSION"));
    let folder = work.kept("card", digest, "Put the card together", |work, folder| {
        let number = number(&root.image)?;
        let files = folder.join("boot");
        gather(kernel, initramfs, &boot, number, &files)?;
        date(&files, work.epoch)?;
        let card = folder.join(&name);
        let end = File::create(&card).and_then(|file| file.set_len(END * MIB));
        end.with_context(|| format!("cannot make {}", card.display()))?;
        partition(&card, number)?;
        fat(work, &card, BOOT, "ROOMCAM", number, &files)?;
        let none = folder.join("none");
        fs::create_dir(&none).context("cannot make a folder")?;
        fat(work, &card, SPARE_BOOT, "ROOMCAM-B", number ^ 1, &none)?;
        data(work, &card, number, folder)?;
        place(&root.image, &card, ROOT)?;
        super::remove(&files)?;
        super::remove(&none)
    })?;
    Ok(folder.join(name))
}

/// The card's number, and those of its file systems, follow from what is on it.
fn number(root: &Path) -> Result<u32> {
    let sum = run::output(Command::new("sha256sum").arg(root)).unwrap_or_default();
    let digits = sum.get(..8).with_context(|| format!("sha256sum does not read {}", root.display()))?;
    u32::from_str_radix(digits, 16).context("sha256sum gives no number")
}

/// What is on the boot partition.
fn gather(kernel: &Kernel, initramfs: &Path, recipe: &Path, number: u32, to: &Path) -> Result<()> {
    run::to_the_end_silently(Command::new("cp").arg("--recursive").arg(kernel.boot()).arg(to))?;
    for file in entries(initramfs)?.into_iter().chain(entries(recipe)?) {
        copy(&file, &to.join(name_of(&file)))?;
    }
    if kernel.is_of_the_board() {
        copy(&super::recipe("pi-gen/config.txt"), &to.join("config.txt"))?;
    }
    let line = to.join("cmdline.txt");
    let text = fs::read_to_string(&line).with_context(|| format!("cannot read {}", line.display()))?;
    ensure!(text.contains(DISK), "image/boot/cmdline.txt does not say where {DISK} is");
    fs::write(&line, text.replace(DISK, &format!("{number:08x}"))).context("cannot write the kernel's line")
}

/// Gives all files their one date.
fn date(files: &Path, epoch: u64) -> Result<()> {
    let mut find = Command::new("find");
    find.arg(files).args(["-exec", "touch", "--no-dereference", "--date"]).arg(format!("@{epoch}")).args(["{}", "+"]);
    run::to_the_end_silently(&mut find)
}

fn partition(card: &Path, number: u32) -> Result<()> {
    let line = |span: Span, kind: &str| format!("start={}MiB, size={}MiB, type={kind}\n", span.start, span.size);
    let table = format!(
        "label: dos\nlabel-id: 0x{number:08x}\n{}{}{}{}{}{}",
        line(BOOT, "c, bootable"),
        line(SPARE_BOOT, "c"),
        line(DATA, "83"),
        line(EXTENDED, "f"),
        line(ROOT, "83"),
        line(SPARE_ROOT, "83"),
    );
    let sfdisk = system::administration("sfdisk").context("sfdisk is missing (package fdisk)")?;
    let mut child = Command::new(sfdisk)
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(card)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start sfdisk")?;
    if let Some(mut input) = child.stdin.take() {
        std::io::Write::write_all(&mut input, table.as_bytes()).context("sfdisk does not listen")?;
    }
    let status = child.wait().context("cannot wait for sfdisk")?;
    ensure!(status.success(), "sfdisk does not make these partitions ({status}):\n{table}");
    Ok(())
}

/// Makes a FAT file system of these files in a partition.
fn fat(work: &Work, card: &Path, span: Span, label: &str, number: u32, files: &Path) -> Result<()> {
    let image = card.with_extension("fat");
    super::remove(&image)?;
    let mut mkfs = Command::new(system::administration("mkfs.vfat").context("mkfs.vfat is missing")?);
    // --invariant: no date, and no random number.
    mkfs.args(["--invariant", "-F", "32", "-s", "1", "-n", label, "-i", &format!("{number:08x}"), "-C"]);
    mkfs.arg(&image).arg((span.size * 1024).to_string());
    work.sets(&mut mkfs);
    quietly(&mut mkfs, &card.with_extension("log"))?;
    // In the order of their names: directories list what was written first, first.
    fill(work, &image, files, "::")?;
    place(&image, card, span)?;
    super::remove(&image)
}

fn fill(work: &Work, image: &Path, folder: &Path, to: &str) -> Result<()> {
    for entry in entries(folder)? {
        let name = format!("{to}/{}", name_of(&entry));
        let mut mtools = Command::new(if entry.is_dir() { "mmd" } else { "mcopy" });
        mtools.arg("-i").arg(image);
        if !entry.is_dir() {
            mtools.arg("-m").arg(&entry);
        }
        work.sets(&mut mtools);
        run::to_the_end_silently(mtools.arg(&name))?;
        if entry.is_dir() {
            fill(work, image, &entry, &name)?;
        }
    }
    Ok(())
}

/// Makes the data partition: an ext4 file system with nothing in it.
fn data(work: &Work, card: &Path, number: u32, folder: &Path) -> Result<()> {
    let image = folder.join("data.ext4");
    let empty = File::create(&image).and_then(|file| file.set_len(DATA.size * MIB));
    empty.with_context(|| format!("cannot make {}", image.display()))?;
    let id = format!("524f4f4d-4341-4d00-8000-0000{number:08x}");
    let mut mke2fs = Command::new(system::administration("mke2fs").context("mke2fs is missing")?);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", "roomcam-data", "-m", "0", "-U", &id]);
    // Nothing is left to be done by the kernel later, which would write to the card for minutes.
    mke2fs.arg("-E").arg(format!("hash_seed={id},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"));
    mke2fs.arg(&image).env("E2FSPROGS_FAKE_TIME", work.epoch.to_string());
    work.sets(&mut mke2fs);
    run::to_the_end_silently(&mut mke2fs)?;
    place(&image, card, DATA)?;
    super::remove(&image)
}

/// Writes a file system to its partition; holes stay holes.
fn place(image: &Path, card: &Path, span: Span) -> Result<()> {
    let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
    ensure!(
        size <= span.size * MIB,
        "{} has {:.1} MiB, and its partition {} MiB",
        name_of(image),
        size as f64 / MIB as f64,
        span.size
    );
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", image.display())).arg(format!("of={}", card.display()));
    dd.args(["bs=1M", "conv=notrunc,sparse", "status=none"]).arg(format!("seek={}", span.start));
    run::to_the_end_silently(&mut dd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other() {
        let spans = [BOOT, SPARE_BOOT, DATA, EXTENDED];
        assert!(spans.windows(2).all(|pair| pair[0].start + pair[0].size <= pair[1].start));
        // A logical partition's table lies before it.
        let logical = [ROOT, SPARE_ROOT];
        assert!(logical.iter().all(|span| EXTENDED.start < span.start && span.start + span.size <= END));
        assert!(logical.windows(2).all(|pair| pair[0].start + pair[0].size < pair[1].start));
        assert!(spans.iter().chain([&ROOT, &SPARE_ROOT]).all(|span| span.start % 4 == 0));
    }
}
