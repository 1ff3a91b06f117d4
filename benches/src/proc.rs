//! What the system knows of processes: time on the processor and resident memory. Linux only; elsewhere zero.

use std::time::Duration;

/// Time that a process has spent on processors, in user and system mode.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may hold spaces; after it utime and stime are fields 14 and 15 of the whole line.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    // The kernel counts these in hundredths of a second on every architecture.
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

/// The same of this process.
#[must_use]
pub fn own_cpu() -> Duration {
    cpu(std::process::id())
}

/// Resident memory of a process in MiB.
#[must_use]
pub fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0
}

/// The load average of the last minute.
#[must_use]
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
