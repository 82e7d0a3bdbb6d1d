//! The contract of the Filter Manager with respect to contexts, one test for each assertion.
//!
//! The tests call the raw functions of `fltmgr-sys`; the emulator `fltsim` answers them. A test
//! bears the number of its assertion: C-047 is `c_047_…`.

#![allow(
    clippy::missing_panics_doc,
    reason = "a test panics when an assertion does not hold"
)]

mod calls;
mod coverage;
mod delete;
mod harness;
mod lifetime;
mod operation;
mod reference;
mod registration;
mod related;
mod section;
mod set;
mod support;
mod transaction;
mod verifier;
