//! Raw Node-API callbacks: what they are called with, and the function that `index.js` calls for each
//! message.
//!
//! A function that has its publisher with it needs no look at `this`, which costs as much as all the
//! rest of a call.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi::sys;

use super::queue::Queue;
use crate::guard::guarded;

/// The arguments of a raw callback, `(key, text, [topic], [form])` say; missing ones are `undefined`.
pub struct Arguments {
    pub values: [sys::napi_value; 4],
    pub count: usize,
}

/// What a raw callback is called with: the arguments, and the function's own data.
///
/// # Safety
/// Within the callback that `env` and `info` belong to.
pub unsafe fn call_info(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Option<(Arguments, *mut c_void)> {
    let mut values = [ptr::null_mut(); 4];
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

/// What became of a call of `queueText`.
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
    // SAFETY: within the callback; its data is what `text_function` gave it, and lives as long as
    // the function, which is being called.
    let queue = |info| unsafe {
        let (arguments, data) = call_info(env, info)?;
        Some((arguments, data.cast::<Queue>().as_ref()?))
    };
    let push = || {
        let Some((arguments, queue)) = queue(info) else {
            return Queued::NoRoom;
        };
        // SAFETY: on the JS thread; the values are alive until the callback returns.
        unsafe { queue.push(env, &arguments) }
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

/// A function that keeps its queue alive for as long as it can be called itself.
///
/// # Safety
/// On the JS thread.
pub unsafe fn text_function(env: sys::napi_env, queue: Rc<Queue>) -> Option<sys::napi_value> {
    let data = Rc::into_raw(queue).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: `data` is given up to the function, whose finalizer takes it back; or, when there is
    // none, taken back here.
    unsafe {
        let made = sys::napi_create_function(
            env,
            c"queueText".as_ptr(),
            -1,
            Some(queue_text),
            data,
            &mut function,
        ) == sys::Status::napi_ok
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
    // SAFETY: the reference that `text_function` gave to the function, which is gone.
    guarded(
        || drop(unsafe { Rc::from_raw(data.cast::<Queue>()) }),
        |_| (),
    );
}
