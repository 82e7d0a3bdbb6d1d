//! The sample driver, scenario by scenario: exact counts and statuses, under eight seeds.
//!
//! Every scenario runs twice: with the driver linked into this program, and with the driver from its
//! image, ctx.sys, where it must do the very same: the same contexts, the same calls of the Filter
//! Manager, the same words to the debugger. `cargo test` alone leaves the second out, as the image
//! has to be built; `cargo xtask test` does that.

mod bench;
mod scenarios;

use bench::{Door, SEEDS, Scenario, run};

/// Makes a test of each scenario for each door.
macro_rules! through_both_doors {
    ($($name:ident,)*) => {
        mod in_process {
            $(
                #[test]
                fn $name() {
                    super::alone(super::scenarios::$name);
                }
            )*
        }

        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        mod image {
            $(
                #[test]
                #[ignore = "needs ctx.sys: `cargo xtask test` builds it"]
                fn $name() {
                    super::compared(super::scenarios::$name);
                }
            )*
        }
    };
}

through_both_doors! {
    a_driver_that_only_loads,
    the_opens_of_a_file_share_its_contexts,
    every_kind_of_operation_is_booked,
    an_open_that_fails_leaves_nothing,
    without_memory_files_go_untracked,
    every_allocation_may_fail,
    a_context_that_cannot_be_set_is_released,
    a_transaction_that_commits,
    a_transaction_that_rolls_back,
    an_enlistment_that_fails,
    completion_on_other_threads_and_levels,
    a_rename_at_dispatch_level_is_noted_by_a_worker,
    paging_files_have_no_contexts,
    a_file_system_without_transactions_or_streams,
    a_file_system_without_contexts,
    several_volumes,
    detached_with_files_open,
    dismounted_with_files_open,
    unloaded_with_files_open,
    loaded_again,
    a_teardown_that_waits_for_nobody,
    anything_in_any_order,
}

fn alone(scenario: Scenario) {
    for seed in SEEDS {
        run(Door::InProcess, seed, scenario);
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn compared(scenario: Scenario) {
    for seed in SEEDS {
        let in_process = run(Door::InProcess, seed, scenario);
        let image = run(Door::Image, seed, scenario);
        assert_eq!(in_process, image, "seed {seed}");
        // What was compared is not nothing.
        assert!(!image.is_empty(), "seed {seed}");
        for machine in &image {
            let calls = &machine.statistics.calls;
            assert!(calls["FltRegisterFilter"] > 0, "seed {seed}: {calls:?}");
        }
    }
}
