//! The library against the emulator: every verb, every path, exact counts.
//!
//! One driver, [`probe::Probe`], serves all tests: its callbacks run closures that a test hands
//! them, so a test body reads like driver code and asserts like a test.

mod below;
mod by_hand;
mod handles;
mod lifecycle;
mod mistakes;
mod model;
mod operations;
mod probe;
mod slots;
mod stress;
mod transactions;
