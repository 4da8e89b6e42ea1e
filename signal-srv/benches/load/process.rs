//! What the server holds and has used, from /proc.

use std::fs;

use anyhow::Context;

/// CPU seconds of all threads that live, to the nanosecond: the first field of schedstat.
pub fn cpu(id: u32) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{id}/task")).context("the server is gone")? {
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let time = text.split(' ').next().and_then(|time| time.parse::<f64>().ok());
        sum += time.context("not the format of schedstat")?;
    }
    Ok(sum / 1e9)
}

/// Resident memory in bytes.
pub fn memory(id: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the server is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().context("not the format of VmRSS")?;
    Ok(kibibytes * 1024.0)
}
