//! What partitioners owe: a reply for each batch that they were asked about.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr;

use napi::bindgen_prelude::*;
use napi::{Env, sys};

use super::callback::{self, Arguments};
use crate::guard::guarded;
use crate::worker::PartitionReply;

thread_local! {
    /// Of all publishers of this thread, by number.
    static OWED: RefCell<(u32, HashMap<u32, PartitionReply>)> = RefCell::default();
}

/// Those of one publisher. It is asked for one at a time; a new question means that the worker has
/// given the last one up.
#[derive(Default)]
pub struct Replies {
    last: Cell<Option<u32>>,
}

impl Replies {
    /// Returns the number that the reply is to be called with.
    pub fn owe(&self, reply: PartitionReply) -> u32 {
        let id = OWED.with_borrow_mut(|(next, owed)| {
            *next = next.wrapping_add(1);
            owed.insert(*next, reply);
            *next
        });
        self.forget_last();
        self.last.set(Some(id));
        id
    }

    pub fn take(id: u32) -> Option<PartitionReply> {
        OWED.with_borrow_mut(|(_, owed)| owed.remove(&id))
    }

    /// `reply(id, partitions, failure)`, for the partitioner to call when it is through.
    pub fn function(env: &Env) -> Result<Function<'_, (), Unknown<'static>>> {
        env.create_function("reply", reply)
    }

    fn forget_last(&self) {
        if let Some(last) = self.last.take() {
            // At the end of its thread the table may be gone before.
            let _ = OWED.try_with(|owed| owed.borrow_mut().1.remove(&last));
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.forget_last();
    }
}

unsafe extern "C" fn reply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let work = || {
        // SAFETY: within this callback; the values are alive until it returns.
        let (arguments, ..) = unsafe { callback::call_info(env, info) }?;
        let Arguments {
            values: [id, partitions, failure],
            ..
        } = arguments;
        // SAFETY: as above.
        let (id, partitions, failure) = unsafe {
            (
                u32::from_napi_value(env, id).ok()?,
                Vec::<Option<i32>>::from_napi_value(env, partitions).ok()?,
                Option::<String>::from_napi_value(env, failure).ok()?,
            )
        };
        Replies::take(id)?(partitions, failure);
        Some(())
    };
    guarded(work, |_| None);
    ptr::null_mut()
}
