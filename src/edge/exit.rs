//! The end of the process or of its JS environment: what is in memory goes to Kafka or to file
//! before it is over, within a bounded time.
//!
//! Node runs an environment's clean-up hooks when its event loop has ended and when a worker thread
//! is terminated, but not on `process.exit()` and not after an uncaught exception: those call
//! `exit`, whose handlers the C library runs. Where it does not, in Bun, or only when all threads are
//! gone, on Windows, load.js has [`leave_thread`] called instead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use napi::{Env, Result};
use napi_derive::napi;

use super::bridge;
use crate::guard::guarded;
use crate::worker::{Request, Shared};
use crate::{logging, stderr};

/// How long a process that ends may be held up, for all its publishers together.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long the process is held up for a stderr that takes no lines now.
const STDERR_PATIENCE: Duration = Duration::from_millis(200);

static LIVE: Mutex<Option<Live>> = Mutex::new(None);

#[derive(Default)]
struct Live {
    publishers: Vec<(ThreadId, Weak<Shared>)>,
    /// Threads whose environment has the hook.
    hooked: HashSet<ThreadId>,
}

/// Remembers a publisher. Called after its client was made: `exit` runs the handlers that were set last
/// first, and OpenSSL's own must not run before this.
pub fn watch(env: &Env, shared: &Arc<Shared>) -> Result<()> {
    let thread = std::thread::current().id();
    let newly_hooked = {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let live = live.get_or_insert_default();
        // Those that have ended, too: they still log what they discard.
        live.publishers
            .retain(|(_, publisher)| publisher.strong_count() > 0);
        live.publishers.push((thread, Arc::downgrade(shared)));
        live.hooked.insert(thread)
    };
    if newly_hooked {
        env.add_env_cleanup_hook(thread, |thread| guarded(|| leave(Some(thread)), |_| ()))?;
    }
    #[cfg(unix)]
    {
        static AT_EXIT: std::sync::Once = std::sync::Once::new();
        // SAFETY: the handler is a plain function; the addon is never unloaded before the process.
        AT_EXIT.call_once(|| unsafe {
            libc::atexit(at_exit);
        });
    }
    Ok(())
}

#[cfg(unix)]
extern "C" fn at_exit() {
    guarded(|| leave(None), |_| ());
    stderr::flush(STDERR_PATIENCE);
}

/// Ends the publishers of this thread: the last thing that its JavaScript does.
#[napi(js_name = "leave", skip_typescript)]
#[cfg_attr(test, allow(dead_code))]
pub fn leave_thread() {
    let work = || {
        end_publishers(
            Some(std::thread::current().id()),
            bridge::deliver_last_lines,
        );
        stderr::flush(STDERR_PATIENCE);
    };
    guarded(work, |_| ());
}

fn leave(thread: Option<ThreadId>) {
    end_publishers(thread, || ());
}

/// Ends the publishers of one thread, or all. Their loggers can be told nothing any more after `last`.
fn end_publishers(thread: Option<ThreadId>, last: impl FnOnce()) {
    let publishers = {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(live) = live.as_mut() else { return };
        if let Some(thread) = thread {
            live.hooked.remove(&thread);
        }
        let is_leaving =
            |(of, _): &mut (ThreadId, Weak<Shared>)| thread.is_none_or(|thread| thread == *of);
        live.publishers
            .extract_if(.., is_leaving)
            .filter_map(|(_, shared)| shared.upgrade())
            .collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    for shared in &publishers {
        shared.request(Request::Exit);
    }
    for shared in &publishers {
        let left = deadline.saturating_duration_since(Instant::now());
        if !shared.wait_for_end(left) {
            // Of this thread, tracing's own may be gone already.
            stderr::error(&format!(
                "the process ends with {} messages that could neither be published nor written",
                shared.in_memory()
            ));
        }
    }
    for shared in &publishers {
        tracing::dispatcher::with_default(&shared.log, || logging::flush_suppressed(true));
    }
    last();
    for shared in &publishers {
        logging::close(&shared.log);
    }
}
