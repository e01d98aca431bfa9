//! What this process has used.

use std::mem::MaybeUninit;

/// Processor time of all threads so far, in microseconds.
pub fn cpu_us() -> f64 {
    let usage = usage();
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    us(usage.ru_utime) + us(usage.ru_stime)
}

/// The most resident memory so far, in bytes.
pub fn peak_rss() -> u64 {
    // Linux's `ru_maxrss` counts the parent's memory, too, from before the program began.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    match peak.and_then(|peak| peak.parse::<u64>().ok()) {
        Some(kilobytes) => kilobytes * 1024,
        None => usage().ru_maxrss as u64,
    }
}

fn usage() -> libc::rusage {
    let mut usage = MaybeUninit::uninit();
    // SAFETY: getrusage fills the structure in when it succeeds, which it does for this process.
    unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    }
}
