//! How Node.js before Node-API 5 finds this module.
//!
//! Newer runtimes look the function `napi_register_module_v1` up by its name, which napi-rs exports.
//! Node.js 8 does not: there a module registers itself while it is being loaded, or is refused with
//! "Module did not self-register". So a constructor, which the dynamic loader runs inside of
//! `dlopen`, calls `napi_module_register`.

use std::ffi::{CStr, c_void};
use std::{mem, ptr};

use napi::sys;

type Register = unsafe extern "C" fn(*mut sys::napi_module);

/// A function of Node-API 5. A runtime that has it needs no constructor, and may, as a runtime that
/// is no Node.js, understand something else by one.
const LATER: &CStr = c"napi_create_date";

napi::ctor::declarative::ctor! {
    /// Runs before anything of Rust's is set up and while the dynamic loader holds its lock: it only
    /// looks symbols up and hands a pointer over, and does not panic.
    #[ctor(unsafe)]
    fn register() {
        if host_symbol(LATER).is_some() {
            return;
        }
        // Outside of a runtime with Node-API, in `cargo test` say, there is nobody to register with.
        let Some(register) = host_symbol(c"napi_module_register") else { return };
        // Node.js keeps the pointer for as long as it runs.
        let module = Box::leak(Box::new(sys::napi_module {
            nm_version: 1,
            nm_flags: 0,
            nm_filename: c"kafka-publisher".as_ptr(),
            nm_register_func: Some(napi::bindgen_prelude::napi_register_module_v1),
            nm_modname: c"kafka_publisher".as_ptr(),
            nm_priv: ptr::null_mut(),
            reserved: [ptr::null_mut(); 4],
        }));
        // SAFETY: in each runtime that exports a function of this name it has this signature, which
        // Node-API guarantees not to change. It is called on the thread that is in `dlopen` (Node.js
        // takes the module from that thread afterwards) with a module that lives for ever and is not
        // touched any more.
        unsafe {
            let register: Register = mem::transmute::<*mut c_void, Register>(register.as_ptr());
            register(module);
        }
    }
}

/// A symbol of the program that loads this module, or of what the program itself was linked with.
#[cfg(unix)]
fn host_symbol(name: &CStr) -> Option<ptr::NonNull<c_void>> {
    // SAFETY: any thread may call it at any time; the name ends with a zero.
    ptr::NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

#[cfg(windows)]
fn host_symbol(name: &CStr) -> Option<ptr::NonNull<c_void>> {
    use std::ffi::c_char;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleW(name: *const u16) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: both may be called at any time, also while a library is being loaded; without a name
    // the first gives the program itself, which stays loaded. The name ends with a zero.
    ptr::NonNull::new(unsafe { GetProcAddress(GetModuleHandleW(ptr::null()), name.as_ptr()) })
}
