//! Any other request of Polar's API, straight to Polar with the caller's own credentials.
//!
//! sledge lends such a request nothing but the way: no token, no retry, no place in the journal. Where it goes is fixed
//! by the configuration; of the request only the path below `/v1` has a say.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod forward;
mod outcome;
mod passing_headers;
mod refusal;
mod settings;
mod target;

#[cfg(test)]
mod tests;

pub use forward::Forward;
pub use settings::Settings;
