//! A copy of the card, as a person holds it in a computer: its boot partition can be read and written, and damage can
//! be done to the rest.
//!
//! mtools and e2fsprogs work on the file itself: nothing is mounted, and nobody has to be root.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use crate::system;

const SECTOR: u64 = 512;

/// The boot partition and that of the data, as the partition table counts them.
const BOOT: usize = 1;
const DATA: usize = 3;

/// Where a partition is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    offset: u64,
    size: u64,
}

/// A card in a file of its own.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) file: PathBuf,
    boot: Extent,
    data: Extent,
}

impl Card {
    /// Copies `original`, holes and all.
    pub(crate) fn copy(original: &Path, file: &Path) -> Result<Self> {
        run::to_the_end_silently(
            Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(original).arg(file),
        )?;
        Self::open(file)
    }

    /// As it is.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let mut table = [0; 512];
        File::open(file)
            .and_then(|mut card| card.read_exact(&mut table))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let part =
            |number| partition(&table, number).with_context(|| format!("{} has no partition {number}", file.display()));
        Ok(Self { file: file.to_owned(), boot: part(BOOT)?, data: part(DATA)? })
    }

    /// The names of what is in the boot partition's folder.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let listed = run::output(&mut self.mtool("mdir", &["-b", "::/"])).context("mtools cannot read the card")?;
        Ok(listed.lines().filter_map(|line| line.strip_prefix("::/")).map(str::to_owned).collect())
    }

    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        Ok(self.list()?.iter().any(|entry| entry == name))
    }

    /// The bytes of a file in the boot partition.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let mut command = self.mtool("mcopy", &[&format!("::/{name}"), "-"]);
        let output = command.stdin(Stdio::null()).output().context("cannot start mcopy (package mtools)")?;
        ensure!(output.status.success(), "{name} cannot be read from the boot partition of {}", self.file.display());
        Ok(output.stdout)
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read(name)?).into_owned())
    }

    /// Writes a file into the boot partition, in place of one that is there.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let mut command = self.mtool("mcopy", &["-o", "-", &format!("::/{name}")]);
        let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start mcopy (package mtools)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(content).with_context(|| format!("cannot write {name}"))?;
        }
        let status = child.wait().context("cannot wait for mcopy")?;
        ensure!(status.success(), "{name} cannot be written into the boot partition ({status})");
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        run::to_the_end_silently(&mut self.mtool("mdel", &[&format!("::/{name}")]))
    }

    /// What tells one state of the boot partition from another, to the last bit.
    pub(crate) fn boot_digest(&self) -> Result<u64> {
        let mut part = self.part(self.boot)?;
        let mut hasher = DefaultHasher::new();
        let mut chunk = vec![0; 1 << 20];
        loop {
            let length = part.read(&mut chunk).context("cannot read the boot partition")?;
            if length == 0 {
                return Ok(hasher.finish());
            }
            hasher.write(&chunk[..length]);
        }
    }

    /// All bytes of the data partition.
    pub(crate) fn data(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.part(self.data)?.read_to_end(&mut bytes).context("cannot read the data partition")?;
        Ok(bytes)
    }

    fn part(&self, extent: Extent) -> Result<impl Read + use<>> {
        let mut card = File::open(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        card.seek(SeekFrom::Start(extent.offset)).context("cannot seek in the card")?;
        Ok(card.take(extent.size))
    }

    /// The data partition in a file beside the card, with its journal replayed, as the next boot will see it.
    fn data_file(&self) -> Result<PathBuf> {
        let file = self.file.with_extension("data");
        fs::write(&file, self.data()?).with_context(|| format!("cannot write {}", file.display()))?;
        let mut check = e2fsprogs("e2fsck")?;
        let status =
            check.args(["-f", "-y"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = status.status().context("cannot start e2fsck (package e2fsprogs)")?;
        // 1 and 2: something was mended.
        ensure!(status.code().is_some_and(|code| code < 4), "the data partition is damaged beyond repair ({status})");
        Ok(file)
    }

    /// A file of the data partition; none if it is not there.
    pub(crate) fn data_file_text(&self, path: &str) -> Result<Option<String>> {
        let partition = self.data_file()?;
        let mut dump = e2fsprogs("debugfs")?;
        let output = dump.args(["-R", &format!("cat {path}")]).arg(&partition).stdin(Stdio::null()).output();
        let output = output.context("cannot start debugfs (package e2fsprogs)")?;
        fs::remove_file(&partition).context("cannot remove the copy of the data partition")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if complaint.contains("File not found") {
            return Ok(None);
        }
        ensure!(output.status.success(), "debugfs cannot read {path}: {complaint}");
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Everything that the files of the data partition hold, whatever it is, one after the other.
    pub(crate) fn every_data_file(&self) -> Result<String> {
        let partition = self.data_file()?;
        let tree = self.file.with_extension("files");
        // Not there, at the first run.
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
        let mut dump = e2fsprogs("debugfs")?;
        dump.args(["-R", &format!("rdump / {}", tree.display())]).arg(&partition);
        run::to_the_end_silently(dump.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        fs::remove_file(&partition).context("cannot remove the copy of the data partition")?;
        let mut text = String::new();
        gather(&tree, &mut text)?;
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
        Ok(text)
    }

    /// Overwrites every copy of the superblock: nothing mounts that.
    pub(crate) fn damage_data(&self) -> Result<()> {
        let zeros = vec![0; usize::try_from(self.data.size.min(64 << 20)).context("the data partition is too large")?];
        self.patch(self.data.offset, &zeros)
    }

    /// Marks the data partition as one that must not be written to.
    pub(crate) fn make_data_read_only(&self) -> Result<()> {
        let partition = self.data_file()?;
        run::to_the_end_silently(
            e2fsprogs("tune2fs")?.args(["-O", "read-only"]).arg(&partition).stdout(Stdio::null()),
        )?;
        let bytes = fs::read(&partition).with_context(|| format!("cannot read {}", partition.display()))?;
        fs::remove_file(&partition).context("cannot remove the copy of the data partition")?;
        self.patch(self.data.offset, &bytes)
    }

    /// Takes the data partition out of the partition table.
    pub(crate) fn remove_data_partition(&self) -> Result<()> {
        self.patch(entry(DATA) as u64, &[0; 16])
    }

    fn patch(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.file);
        let mut file = file.with_context(|| format!("cannot write {}", self.file.display()))?;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.write_all(bytes))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn mtool(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool);
        command.env("MTOOLS_SKIP_CHECK", "1");
        command.arg("-i").arg(format!("{}@@{}", self.file.display(), self.boot.offset)).args(arguments);
        command
    }
}

fn gather(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let kind = entry.file_type().context("cannot look at a file of the data partition")?;
        if kind.is_dir() {
            gather(&entry.path(), text)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).context("cannot read a file of the data partition")?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    Ok(())
}

fn e2fsprogs(tool: &str) -> Result<Command> {
    let Some(program) = system::administration(tool) else { bail!("{tool} is missing (package e2fsprogs)") };
    Ok(Command::new(program))
}

/// Where a primary partition stands in the table.
const fn entry(number: usize) -> usize {
    446 + 16 * (number - 1)
}

/// Of a master boot record.
fn partition(table: &[u8; 512], number: usize) -> Option<Extent> {
    let entry = table.get(entry(number)..entry(number) + 16)?;
    let sectors = |at: usize| Some(u64::from(u32::from_le_bytes(entry.get(at..at + 4)?.try_into().ok()?)));
    let extent = Extent { offset: sectors(8)? * SECTOR, size: sectors(12)? * SECTOR };
    (entry[4] != 0 && extent.size > 0).then_some(extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_from_the_table() {
        let mut table = [0; 512];
        table[entry(1) + 4] = 0x0c;
        table[entry(1) + 8..entry(1) + 12].copy_from_slice(&8192_u32.to_le_bytes());
        table[entry(1) + 12..entry(1) + 16].copy_from_slice(&262_144_u32.to_le_bytes());
        assert_eq!(partition(&table, 1), Some(Extent { offset: 4 << 20, size: 128 << 20 }));
        assert_eq!(partition(&table, 3), None);
    }
}
