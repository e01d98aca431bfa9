//! The answer of the user's function for tokens.

use std::ffi::CString;

use serde::Deserialize;

use crate::kafka::Token;

/// As `lib/token.js` has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    value: String,
    #[serde(default)]
    principal: String,
    #[serde(default)]
    expires_ms: f64,
    #[serde(default)]
    extensions: Vec<String>,
    failure: Option<String>,
}

/// # Errors
/// Why there is no token, in words.
pub fn read(text: &str) -> Result<Token, String> {
    let answer: Answer = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(failure) = answer.failure {
        return Err(failure);
    }
    let c_string = |text: String| CString::new(text).map_err(|_| "it contains a NUL".to_owned());
    let extensions = answer.extensions.into_iter().map(c_string);
    Ok(Token {
        extensions: extensions.collect::<Result<_, _>>()?,
        value: c_string(answer.value)?,
        principal: c_string(answer.principal)?,
        expires_ms: answer.expires_ms as i64,
    })
}
