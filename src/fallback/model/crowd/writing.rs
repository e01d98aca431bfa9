//! Two threads of one process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::fallback::clock::{ahead, pass};
use crate::fallback::faults;
use crate::fallback::model::process::Process;
use crate::message::Batch;

/// With a full directory the writer waits for the replayer, which is in another thread.
pub(super) fn write(process: &mut Process, batch: Batch, is_limited: bool) {
    if !is_limited {
        return process.writer.append(batch);
    }
    let Process {
        writer,
        replay,
        instance,
        offers,
        ..
    } = process;
    let is_written = &AtomicBool::new(false);
    let (ahead, has_faults) = (ahead(), faults::are_planned());
    thread::scope(|scope| {
        let instance = &*instance;
        scope.spawn(move || {
            pass(ahead);
            while !is_written.load(Ordering::Relaxed) {
                if instance.is_room_wanted() && has_faults {
                    instance.made_room(false);
                } else if instance.is_room_wanted() {
                    replay.step(offers);
                }
                thread::yield_now();
            }
        });
        writer.append(batch);
        is_written.store(true, Ordering::Relaxed);
    });
}
