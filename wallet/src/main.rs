//! The program `scrip`.
fn main() {}
