//! The simulator, held to what is known of Polar line by line, through its own HTTP. `corpus` lists every known fact
//! with the tests that cover it.

mod answers;
mod clients;
mod command;
mod control;
mod corpus;
mod documentation;
mod june_2026;
mod money;
mod pydantic;
mod schema;
mod wire;
