//! The user's options object, copied into plain data.

use std::ffi::CString;

use napi::bindgen_prelude::*;
use napi::{JsString, JsValue, Unknown, ValueType, check_status, sys};

use crate::options::Value;

/// Objects are copied to this depth: options are no deeper.
const MAX_DEPTH: usize = 4;
/// All entries of all objects and arrays together: more are none of options.
const MAX_ENTRIES: usize = 10_000;

/// # Errors
/// When a getter or a proxy of the user's throws.
pub fn from_js(value: Unknown<'_>) -> Result<Value> {
    copy(value, MAX_DEPTH, &mut { MAX_ENTRIES })
}

fn copy(value: Unknown<'_>, depth: usize, left: &mut usize) -> Result<Value> {
    Ok(match value.get_type()? {
        ValueType::Undefined | ValueType::Null => Value::Missing,
        // SAFETY: here and below, the type was checked.
        ValueType::Boolean => Value::Boolean(unsafe { value.cast()? }),
        ValueType::Number => Value::Number(unsafe { value.cast()? }),
        ValueType::String => {
            let text: JsString<'_> = unsafe { value.cast()? };
            Value::String(text.into_utf8()?.into_owned()?)
        }
        ValueType::Function => Value::Function,
        ValueType::Symbol => Value::Other("a symbol"),
        ValueType::Object if value.is_buffer()? => {
            let bytes: Buffer = unsafe { value.cast()? };
            Value::Bytes(bytes.to_vec())
        }
        ValueType::Object if depth == 0 => Value::Other("an object"),
        ValueType::Object if value.is_array()? => {
            let array: Array<'_> = unsafe { value.cast()? };
            let Some(rest) = left.checked_sub(array.len() as usize) else {
                return Ok(Value::Other("an array of too many items"));
            };
            *left = rest;
            let items =
                (0..array.len()).filter_map(|index| array.get::<Unknown<'_>>(index).transpose());
            Value::Array(
                items
                    .map(|item| copy(item?, depth - 1, left))
                    .collect::<Result<_>>()?,
            )
        }
        ValueType::Object => {
            let object: Object<'_> = unsafe { value.cast()? };
            let keys = Object::keys(&object)?;
            let Some(rest) = left.checked_sub(keys.len()) else {
                return Ok(Value::Other("an object of too many properties"));
            };
            *left = rest;
            let mut entries = Vec::new();
            for key in keys {
                if is_own(&object, &key)? {
                    let item: Unknown<'_> = object.get_named_property(&key)?;
                    entries.push((key, copy(item, depth - 1, left)?));
                }
            }
            Value::Object(entries)
        }
        _ => Value::Other("a value of another type"),
    })
}

/// Whether a property is the object's own: what a program adds to `Object.prototype` is no option.
fn is_own(object: &Object<'_>, key: &str) -> Result<bool> {
    // No option has a NUL in its name.
    let Ok(_) = CString::new(key) else {
        return Ok(false);
    };
    let value = object.value();
    let (mut name, mut own) = (std::ptr::null_mut(), false);
    // SAFETY: on the JS thread, with a live object; the name is copied.
    unsafe {
        let length = key.len() as isize;
        check_status!(sys::napi_create_string_utf8(
            value.env,
            key.as_ptr().cast(),
            length,
            &mut name
        ))?;
        check_status!(sys::napi_has_own_property(
            value.env,
            value.value,
            name,
            &mut own
        ))?;
    }
    Ok(own)
}
