//! A promise that any thread settles. napi-rs has one, too, but makes its threadsafe function without
//! a function of JavaScript, which Node.js takes from 10.17 and 12.6 on only.

use std::ptr;

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, JsError, check_status, sys};

use crate::guard::guarded;

type Settling<T> = ThreadsafeFunction<Result<T>, Unknown<'static>, (), Status, false>;

/// The other end of a promise. It keeps the event loop alive until it is settled or dropped.
pub struct Deferred<T: 'static>(Settling<T>);

impl<T: ToNapiValue + 'static> Deferred<T> {
    /// The second is the promise. `before` is called on the JS thread before it is settled.
    pub fn new(env: &Env, before: impl Fn() + 'static) -> Result<(Self, Object<'_>)> {
        let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the JS thread, with places for both.
        check_status!(unsafe { sys::napi_create_promise(env.raw(), &mut deferred, &mut promise) })?;
        let settling = env
            .create_function::<(), Unknown<'static>>("kafkaPublisher", noop)?
            .build_threadsafe_function::<Result<T>>()
            .build_callback(move |context| {
                guarded(&before, |_| ());
                // SAFETY: on the JS thread; called once, as `settle` takes the only caller.
                unsafe { settle(context.env.raw(), deferred, context.value) }
            })?;
        Ok((Deferred(settling), Object::from_raw(env.raw(), promise)))
    }

    /// Without effect if the environment has ended.
    pub fn settle(self, result: Result<T>) {
        self.0.call(result, ThreadsafeFunctionCallMode::NonBlocking);
    }
}

unsafe fn settle<T: ToNapiValue>(
    env: sys::napi_env,
    deferred: sys::napi_deferred,
    result: Result<T>,
) -> Result<()> {
    let to_value = |result: Result<T>| {
        // SAFETY: the caller's environment is alive.
        let convert = || result.and_then(|value| unsafe { T::to_napi_value(env, value) });
        guarded(convert, |why| Err(Error::from_reason(why.to_owned())))
    };
    // SAFETY: the caller's environment is alive, and the deferred was not settled yet.
    check_status!(unsafe {
        match to_value(result) {
            Ok(value) => sys::napi_resolve_deferred(env, deferred, value),
            Err(error) => {
                sys::napi_reject_deferred(env, deferred, JsError::from(error).into_value(env))
            }
        }
    })
}

unsafe extern "C" fn noop(_: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    ptr::null_mut()
}
