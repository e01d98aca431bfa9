//! Raw Node-API callbacks: what they are called with, and the function that `index.js` calls for each
//! message.
//!
//! A function that has its publisher with it needs no look at `this`, which costs as much as all the
//! rest of a call.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::rc::Rc;

use napi::sys;

use super::queue::Queue;
use crate::guard::guarded;

/// The arguments of a raw callback; missing ones are `undefined`.
pub struct Arguments<const MOST: usize> {
    pub values: [sys::napi_value; MOST],
    pub count: usize,
}

/// What a raw callback is called with: the arguments, and the function's own data.
///
/// # Safety
/// Within the callback that `env` and `info` belong to.
pub unsafe fn call_info<const MOST: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Option<(Arguments<MOST>, *mut c_void)> {
    let mut values = [ptr::null_mut(); MOST];
    let (mut count, mut data) = (values.len(), ptr::null_mut());
    // SAFETY: as many values as `count` says are written; missing ones become `undefined`.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            values.as_mut_ptr(),
            ptr::null_mut(),
            &mut data,
        )
    };
    (status == sys::Status::napi_ok).then_some((Arguments { values, count }, data))
}

/// What became of a call of `queueText` or `queueRecord`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// There is room for more: `undefined`, the result that costs nothing.
    Room,
    /// There is not: `false`.
    NoRoom,
    /// The key has to be escaped: `null`. Nothing was done.
    EscapeKey,
}

/// `queueText(key, text, [topic], [form])`, see [`Queued`].
unsafe extern "C" fn queue_text(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: within the callback.
    unsafe { call(env, info, |queue, arguments| queue.push(env, arguments)) }
}

/// `queueRecord(key, value, topic, flags, partition, timestamp, headers, waiter)`, see [`Queued`].
unsafe extern "C" fn queue_record(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: within the callback.
    unsafe {
        call(env, info, |queue, arguments| {
            queue.push_record(env, arguments)
        })
    }
}

/// # Safety
/// Within a callback of a function that [`queue_function`] has made.
unsafe fn call<const MOST: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    push: impl FnOnce(&Queue, &Arguments<MOST>) -> Queued,
) -> sys::napi_value {
    // SAFETY: the function's data is what `queue_function` gave it, and lives as long as the function,
    // which is being called.
    let queue = |info| unsafe {
        let (arguments, data) = call_info(env, info)?;
        Some((arguments, data.cast::<Queue>().as_ref()?))
    };
    let push = || {
        let Some((arguments, queue)) = queue(info) else {
            return Queued::NoRoom;
        };
        push(queue, &arguments)
    };
    let failed = |why: &str| {
        if let Some((_, queue)) = queue(info) {
            queue.failed(env, why);
        }
        Queued::NoRoom
    };
    let mut result = ptr::null_mut();
    // SAFETY: within the callback; on failure the result stays null, which is `undefined`.
    unsafe {
        match guarded(push, failed) {
            Queued::Room => {}
            Queued::NoRoom => {
                sys::napi_get_boolean(env, false, &mut result);
            }
            Queued::EscapeKey => {
                sys::napi_get_null(env, &mut result);
            }
        }
    }
    result
}

/// `queueText` and `queueRecord`: functions that keep their queue alive for as long as they can be called
/// themselves.
///
/// # Safety
/// On the JS thread.
pub unsafe fn queue_functions(
    env: sys::napi_env,
    queue: &Rc<Queue>,
) -> Option<[sys::napi_value; 2]> {
    // SAFETY: the caller's promise.
    unsafe {
        Some([
            queue_function(env, Rc::clone(queue), c"queueText", queue_text)?,
            queue_function(env, Rc::clone(queue), c"queueRecord", queue_record)?,
        ])
    }
}

unsafe fn queue_function(
    env: sys::napi_env,
    queue: Rc<Queue>,
    name: &CStr,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
) -> Option<sys::napi_value> {
    let data = Rc::into_raw(queue).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: `data` is given up to the function, whose finalizer takes it back; or, when there is
    // none, taken back here.
    unsafe {
        let made =
            sys::napi_create_function(env, name.as_ptr(), -1, Some(callback), data, &mut function)
                == sys::Status::napi_ok
                && sys::napi_wrap(
                    env,
                    function,
                    data,
                    Some(drop_queue),
                    ptr::null_mut(),
                    ptr::null_mut(),
                ) == sys::Status::napi_ok;
        if !made {
            drop(Rc::from_raw(data.cast::<Queue>()));
            return None;
        }
    }
    Some(function)
}

unsafe extern "C" fn drop_queue(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: the reference that `queue_function` gave to the function, which is gone.
    guarded(
        || drop(unsafe { Rc::from_raw(data.cast::<Queue>()) }),
        |_| (),
    );
}
