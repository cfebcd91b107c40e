//! The simulator, held to what is known of Polar line by line, through its own HTTP.

mod answers;
mod control;
mod documentation;
mod money;
mod pydantic;
mod schema;
mod wire;
