//! Lines that others than the writer have left, and the numbers of messages in lines.

use super::super::process::value;

pub(super) fn line(number: u64, more: &str) -> String {
    let text = value(number);
    format!("{{\"topic\":\"orders\",\"key\":\"key\",\"value\":{text},\"timestamp\":1{more}}}\n")
}

/// The number of the message in a line.
pub(super) fn number_in(line: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(line, b"{\"n\":")? + 5;
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    String::from_utf8(digits.copied().collect())
        .ok()?
        .parse()
        .ok()
}

pub(super) fn numbers(text: &[u8]) -> Vec<u64> {
    text.split(|byte| *byte == b'\n')
        .filter_map(number_in)
        .collect()
}
