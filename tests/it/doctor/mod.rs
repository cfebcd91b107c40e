//! `sledge doctor`: every fault it can find is planted for real, one at a time, and found; set-ups that are well are silent.

mod daemon;
pub(crate) mod examination;
mod machine;
mod polar;
mod tokens;
mod well;
