//! The one writer to stderr. Nobody who has a line for it ever waits: a thread of its own writes.
//!
//! Stderr may be closed, on a full disk, a pipe whose reader is gone or has stalled, or one that does not
//! block (Node.js sets `O_NONBLOCK`). Lines that can't be written, or don't fit in the bounded queue
//! meanwhile, are dropped; how many is said by the next line that can be written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::guard::guarded;

/// Bytes of lines that wait to be written.
const CAPACITY: usize = 256 * 1024;
/// See [`rare_error`].
const RARE: Duration = Duration::from_secs(10);
/// How long a stderr that takes nothing now is left alone.
const PAUSE: Duration = Duration::from_millis(100);

struct Lines {
    waiting: VecDeque<String>,
    bytes: usize,
    /// Lines that could not be written since the last one that could.
    dropped: u64,
    /// A line has been taken and is not through yet.
    writing: bool,
}

static LINES: Mutex<Lines> = Mutex::new(Lines {
    waiting: VecDeque::new(),
    bytes: 0,
    dropped: 0,
    writing: false,
});
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a line as the `debug` package has it, in a while. `level` is in lower case.
pub fn line(level: &str, text: &str) {
    static THREAD: Once = Once::new();
    let line = stamped(level, text);
    let mut lines = lock();
    if lines.bytes + line.len() > CAPACITY {
        lines.dropped += 1;
        return;
    }
    lines.bytes += line.len();
    lines.waiting.push_back(line);
    drop(lines);
    CHANGED.notify_all();
    THREAD.call_once(|| {
        let thread = std::thread::Builder::new().name("kafka-publisher-log".into());
        // Without it, lines wait until there is no room for more, and are dropped.
        let _ = thread.spawn(|| guarded(write_lines, |_| ()));
    });
}

/// A line of level error.
pub fn error(text: &str) {
    line("error", text);
}

/// As [`error`], for what callers can make happen as often as they like: at most one line in a while,
/// which says how many were like it.
pub fn rare_error(text: &str) {
    static LAST: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (since, suppressed) = &mut *last;
    if since.is_some_and(|since| since.elapsed() < RARE) {
        *suppressed += 1;
        return;
    }
    *since = Some(Instant::now());
    match std::mem::take(suppressed) {
        0 => error(text),
        more => error(&format!("{text} (and {more} more like it)")),
    }
}

/// Waits until all lines are written, or `patience` is over.
pub fn flush(patience: Duration) {
    let lines = lock();
    let is_busy = |lines: &mut Lines| lines.writing || !lines.waiting.is_empty();
    let _ = CHANGED.wait_timeout_while(lines, patience, is_busy);
}

fn stamped(level: &str, text: &str) -> String {
    // Humantime panics at years that are not 1970 to 9999; a clock may be set to any.
    let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = SystemTime::now().clamp(UNIX_EPOCH, latest);
    let time = humantime::format_rfc3339_millis(time);
    format!("{time} kafka-publisher:{level} {text}\n")
}

/// The thread.
fn write_lines() {
    // What a failed write left of a line is not continued by the next one.
    let mut torn = false;
    loop {
        let mut lines = lock();
        lines.writing = false;
        CHANGED.notify_all();
        let mut lines = CHANGED
            .wait_while(lines, |lines| lines.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.waiting.pop_front() else {
            continue;
        };
        lines.bytes -= line.len();
        lines.writing = true;
        let dropped = lines.dropped;
        drop(lines);

        let mut text = String::new();
        if torn {
            text.push('\n');
        }
        if dropped > 0 {
            let note = format!("{dropped} log lines could not be written");
            text.push_str(&stamped("warn", &note));
        }
        text.push_str(&line);
        match write_whole(text.as_bytes()) {
            Ok(()) => {
                torn = false;
                lock().dropped -= dropped;
            }
            Err(begun) => {
                torn |= begun;
                lock().dropped += 1;
            }
        }
    }
}

/// # Errors
/// Whether some of it was written.
fn write_whole(mut bytes: &[u8]) -> Result<(), bool> {
    let mut begun = false;
    let mut stderr = io::stderr();
    while !bytes.is_empty() {
        match stderr.write(bytes) {
            Ok(0) => return Err(begun),
            Ok(written) => {
                begun = true;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(_) => return Err(begun),
        }
    }
    Ok(())
}
