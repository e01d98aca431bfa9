//! A message's headers as bytes in an arena: of each its name's length, its value's length or [`NULL`]
//! (both as 32 bits, little-endian), its name and its value.

/// The length of a value that is null.
const NULL: u32 = u32::MAX;

/// The headers in these bytes, in their order. A name may occur more than once.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Iterator for Headers<'a> {
    /// A name, and its value.
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_length, rest) = number(self.0)?;
        let (value_length, rest) = number(rest)?;
        let (name, rest) = rest.split_at_checked(name_length as usize)?;
        if value_length == NULL {
            self.0 = rest;
            return Some((name, None));
        }
        let (value, rest) = rest.split_at_checked(value_length as usize)?;
        self.0 = rest;
        Some((name, Some(value)))
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Appends one more header.
pub fn append(bytes: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    let length = value.map_or(NULL, |value| value.len() as u32);
    bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(value.unwrap_or_default());
}

/// So many bytes [`append`] appends.
pub fn length(name: &[u8], value: Option<&[u8]>) -> usize {
    2 * size_of::<u32>() + name.len() + value.map_or(0, <[u8]>::len)
}
