//! What a process has used so far, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// CPU seconds of a process since its start, and how often its threads had to be woken.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU seconds of all threads, those that have ended included.
    pub(crate) whole: f64,
    /// Of the threads that live, by their names.
    threads: BTreeMap<String, Thread>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Thread {
    seconds: f64,
    wakes: u64,
}

impl Usage {
    /// CPU seconds of the threads of this name.
    pub(crate) fn of(&self, thread: &str) -> f64 {
        self.threads.get(thread).map_or(0.0, |thread| thread.seconds)
    }

    /// How often the threads of this name have waited and been woken.
    pub(crate) fn wakes(&self, thread: &str) -> u64 {
        self.threads.get(thread).map_or(0, |thread| thread.wakes)
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let threads = self.threads.iter().map(|(name, now)| {
            let then = before.threads.get(name).copied().unwrap_or_default();
            let (seconds, wakes) = (now.seconds - then.seconds, now.wakes.saturating_sub(then.wakes));
            (name.clone(), Thread { seconds, wakes })
        });
        Self { whole: self.whole - before.whole, threads: threads.collect() }
    }
}

/// What a process holds right now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Holdings {
    /// Resident memory in MB (10^6 bytes).
    pub(crate) memory: f64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// What process `id` has used since its start.
pub(crate) fn usage(id: u32) -> Result<Usage> {
    let ticks = sysconf(SysconfVar::CLK_TCK).context("cannot ask for the clock's rate")?.unwrap_or(100);
    let seconds = |ticks_used: u64| ticks_used as f64 / ticks as f64;
    let folder = PathBuf::from(format!("/proc/{id}"));
    let mut threads = BTreeMap::<String, Thread>::new();
    for task in fs::read_dir(folder.join("task")).context("the process is gone")? {
        let task = task.context("cannot list the threads")?.path();
        // A thread may end while we look.
        let read = |file: &str| fs::read_to_string(task.join(file)).ok();
        let (Some(name), Some(stat), Some(status)) = (read("comm"), read("stat"), read("status")) else { continue };
        let thread = threads.entry(name.trim_end().to_owned()).or_default();
        thread.seconds += seconds(ticks_of(&stat)?);
        thread.wakes += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    let whole = ticks_of(&fs::read_to_string(folder.join("stat")).context("the process is gone")?)?;
    Ok(Usage { whole: seconds(whole), threads })
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// User and system time, fields 14 and 15 of proc_pid_stat(5); the name in field 2 may hold anything.
fn ticks_of(stat: &str) -> Result<u64> {
    let (_, fields) = stat.rsplit_once(") ").context("not the format of proc_pid_stat(5)")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(user + system),
        _ => anyhow::bail!("not the format of proc_pid_stat(5)"),
    }
}

/// Memory, descriptors and threads of process `id`.
pub(crate) fn holdings(id: u32) -> Result<Holdings> {
    let folder = PathBuf::from(format!("/proc/{id}"));
    let status = fs::read_to_string(folder.join("status")).context("the process is gone")?;
    let count = |name: &str| fs::read_dir(folder.join(name)).map(Iterator::count).context("the process is gone");
    Ok(Holdings {
        memory: resident(&status).context("no VmRSS in /proc")?,
        descriptors: count("fd")?,
        threads: count("task")?,
    })
}

fn resident(status: &str) -> Option<f64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kibibytes.parse::<f64>().ok().map(|size| size * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "12 (a) (b) c) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 5 0 1000 1 1";
        assert_eq!(ticks_of(stat).expect("a line as the kernel writes it"), 300);
        assert!(ticks_of("nonsense").is_err());
    }

    #[test]
    fn resident_memory_is_read_in_megabytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1000 kB\n"), Some(1.024));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let holdings = holdings(std::process::id()).expect("we are there");
        assert!(holdings.memory > 0.1 && holdings.threads >= 1 && holdings.descriptors >= 1);
        let usage = usage(std::process::id()).expect("we are there");
        assert_eq!((usage.of("no-such-thread"), usage.wakes("no-such-thread")), (0.0, 0));
        assert_eq!(usage.since(&usage).whole, 0.0);
    }
}
