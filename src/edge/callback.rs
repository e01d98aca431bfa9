//! Raw Node-API callbacks: what they are called with, and the function that `index.js` calls for each
//! message.
//!
//! A method finds its publisher in a private property of `this`. That look-up costs as much as all
//! the rest of a call; a function that has its publisher with it spares it.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi::sys;

use super::queue::Queue;

/// What the second argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The message itself.
    Value,
    /// Its JSON text.
    Text,
}

/// The arguments of a raw callback, `(key, message, [topic])` say; missing ones are `undefined`.
pub struct Arguments {
    pub values: [sys::napi_value; 3],
    pub count: usize,
}

/// What a raw callback is called with: the arguments, `this`, and the function's own data.
///
/// # Safety
/// Within the callback that `env` and `info` belong to.
pub unsafe fn call_info(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Option<(Arguments, sys::napi_value, *mut c_void)> {
    let mut values = [ptr::null_mut(); 3];
    let (mut count, mut this, mut data) = (values.len(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: as many values as `count` says are written; missing ones become `undefined`.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            values.as_mut_ptr(),
            &mut this,
            &mut data,
        )
    };
    (status == sys::Status::napi_ok).then_some((Arguments { values, count }, this, data))
}

/// `queueText(key, text, [topic])`: `undefined` when there is room for more, else `false`.
unsafe extern "C" fn queue_text(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: within the callback; its data is what `text_function` gave it, and lives as long as
    // the function, which is being called.
    unsafe {
        let has_room = call_info(env, info).is_some_and(|(arguments, _, data)| {
            let queue = data.cast::<Queue>().as_ref();
            queue.is_some_and(|queue| queue.push(env, &arguments, Form::Text))
        });
        if has_room {
            ptr::null_mut()
        } else {
            boolean(env, false)
        }
    }
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
    drop(unsafe { Rc::from_raw(data.cast::<Queue>()) });
}

/// A JavaScript boolean.
///
/// # Safety
/// Within a callback.
pub unsafe fn boolean(env: sys::napi_env, value: bool) -> sys::napi_value {
    let mut result = ptr::null_mut();
    // SAFETY: within a callback; on failure the result stays null, which is `undefined`.
    unsafe { sys::napi_get_boolean(env, value, &mut result) };
    result
}
