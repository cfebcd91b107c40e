//! Dead letters: what will not reach Polar by itself, and what people do about it.

mod dead_letter;
mod dead_letters;
mod dead_limit;
mod letter_order;
#[cfg(test)]
mod letters_tests;
#[cfg(test)]
mod model_tests;
mod requeue;

pub use dead_letter::{DeadLetter, DeadReason, Origin};
pub(super) use dead_letters::letter_in;
pub use dead_letters::{DeadLetters, KeptLetter, LetterNumber, LetterPage, Retried};
pub(super) use dead_limit::DeadLimit;
pub(super) use letter_order::LetterOrder;
pub use requeue::RetryRefused;
