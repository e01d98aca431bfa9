//! The user's options object, copied into plain data.

use napi::bindgen_prelude::*;
use napi::{JsString, JsValue, Unknown, ValueType};

use crate::options::Value;

/// Objects are copied to this depth; deeper ones are loggers and such, of which only the names of
/// their methods matter.
const MAX_DEPTH: usize = 4;

/// # Errors
/// When a getter of the user's throws.
pub fn from_js(value: Unknown<'_>) -> Result<Value> {
    copy(value, MAX_DEPTH)
}

fn copy(value: Unknown<'_>, depth: usize) -> Result<Value> {
    Ok(match value.get_type()? {
        ValueType::Undefined | ValueType::Null => Value::Missing,
        ValueType::Boolean => Value::Boolean(unsafe { value.cast()? }),
        ValueType::Number => Value::Number(unsafe { value.cast()? }),
        ValueType::String => {
            // SAFETY: the type was checked.
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
            let items =
                (0..array.len()).filter_map(|index| array.get::<Unknown<'_>>(index).transpose());
            Value::Array(
                items
                    .map(|item| copy(item?, depth - 1))
                    .collect::<Result<_>>()?,
            )
        }
        ValueType::Object => {
            let object: Object<'_> = unsafe { value.cast()? };
            let mut entries = Vec::new();
            for key in Object::keys(&object)? {
                let item: Unknown<'_> = object.get_named_property(&key)?;
                entries.push((key, copy(item, depth - 1)?));
            }
            Value::Object(entries)
        }
        _ => Value::Other("a value of another type"),
    })
}
