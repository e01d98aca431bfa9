//! Where tests have the store's calls of the system fail, or its process die. In what ships there is
//! nothing to meet.

use std::fs::File;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    List,
    Status,
    Read,
    Make,
    Rename,
    /// A rename to another directory.
    Archive,
    /// Of a file of messages.
    Remove,
    /// Of any other.
    Tidy,
    Sync,
    Write,
}

#[cfg(not(all(test, unix)))]
pub fn meet(_: Call) -> io::Result<()> {
    Ok(())
}

/// So much of a file of messages is on the disk.
#[cfg(not(all(test, unix)))]
pub fn has_synced(_: &File, _: u64) {}

#[cfg(all(test, unix))]
pub use tests::{are_planned, has_synced, is_dead, meet, synced, with};

#[cfg(all(test, unix))]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Plan {
        failing: Option<Call>,
        /// Calls until the process dies.
        left: Option<u32>,
    }

    thread_local! {
        static PLAN: RefCell<Plan> = RefCell::default();
        static SYNCED: RefCell<HashMap<u64, u64>> = RefCell::default();
    }

    /// Runs `action` with calls of this kind failing, or all of them after so many.
    pub fn with<T>(failing: Option<Call>, left: Option<u32>, action: impl FnOnce() -> T) -> T {
        PLAN.set(Plan { failing, left });
        let result = action();
        PLAN.take();
        result
    }

    pub fn are_planned() -> bool {
        PLAN.with_borrow(|plan| plan.failing.is_some() || plan.left.is_some())
    }

    pub fn is_dead() -> bool {
        PLAN.with_borrow(|plan| plan.left == Some(0))
    }

    pub fn meet(call: Call) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            if let Some(left) = &mut plan.left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    return Err(io::Error::other("the process is dead"));
                }
            }
            if plan.failing == Some(call) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(())
        })
    }

    pub fn has_synced(file: &File, length: u64) {
        let Ok(status) = file.metadata() else {
            return;
        };
        SYNCED.with_borrow_mut(|synced| synced.insert(status.ino(), length));
    }

    /// What survives a power cut of a file that a writer has made.
    pub fn synced(inode: u64) -> Option<u64> {
        SYNCED.with_borrow(|synced| synced.get(&inode).copied())
    }
}
