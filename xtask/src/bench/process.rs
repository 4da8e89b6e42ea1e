//! What a process has used so far, from /proc.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// CPU seconds of a process since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cpu {
    /// Of all threads, those that have ended included.
    pub(crate) whole: f64,
    /// Of the thread that was asked for.
    pub(crate) thread: f64,
}

/// What a process holds right now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Holdings {
    /// Resident memory in MB (10^6 bytes).
    pub(crate) memory: f64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// CPU time of process `id`, and of its threads named `thread`.
pub(crate) fn cpu(id: u32, thread: &str) -> Result<Cpu> {
    let ticks = sysconf(SysconfVar::CLK_TCK).context("cannot ask for the clock's rate")?.unwrap_or(100);
    let seconds = |ticks_used: u64| ticks_used as f64 / ticks as f64;
    let folder = PathBuf::from(format!("/proc/{id}"));
    let mut of_thread = 0;
    for task in fs::read_dir(folder.join("task")).context("the process is gone")? {
        let task = task.context("cannot list the threads")?.path();
        // A thread may end while we look.
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        if name.trim_end() == thread {
            of_thread += ticks_of(&fs::read_to_string(task.join("stat")).context("cannot read a thread's time")?)?;
        }
    }
    let whole = ticks_of(&fs::read_to_string(folder.join("stat")).context("the process is gone")?)?;
    Ok(Cpu { whole: seconds(whole), thread: seconds(of_thread) })
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
        assert!(cpu(std::process::id(), "no-such-thread").expect("we are there").thread == 0.0);
    }
}
