//! sledge
fn main() {}
