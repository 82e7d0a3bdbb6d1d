//! `cargo xtask test`: everything that must hold before a change is done.

use crate::sys::{self, Sample};
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Checks formatting, lints, documentation and tests, and stops at the first step that fails.
///
/// The sample drivers are tested from their images too, if `cargo xtask sys` needs to install
/// nothing to build these; it says so if it does.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status:
  0  every step passed
  1  a step failed; its command is printed
  2  wrong arguments")]
pub(crate) struct Arguments {
    /// Runs the ignored tests too, which take long
    #[arg(long)]
    full: bool,
}

/// One command of Cargo's.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Whether the drivers' images must be built first.
    images: bool,
}

const FORMATTING: Step = Step {
    name: "formatting",
    arguments: &["fmt", "--all", "--check"],
    images: false,
};
const LINTS: Step = Step {
    name: "clippy",
    arguments: &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    images: false,
};
const TESTS: Step = Step {
    name: "tests",
    arguments: &[
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--no-fail-fast",
    ],
    images: false,
};
const ALL_TESTS: Step = Step {
    name: "tests, the ignored ones too",
    arguments: &[
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--no-fail-fast",
        "--",
        "--include-ignored",
    ],
    images: true,
};
/// The tests of the drivers from their images, which `cargo xtask sys` has to build.
const IMAGES: Step = Step {
    name: "the drivers' images",
    arguments: &[
        "test",
        "--package",
        "blocks",
        "--package",
        "ctx",
        "--package",
        "xtask",
        "--test",
        "demo",
        "--test",
        "driver",
        "--no-fail-fast",
        "--",
        "--ignored",
    ],
    images: true,
};
/// Links in the documentation that lead nowhere are errors.
const DOCUMENTATION: Step = Step {
    name: "documentation",
    arguments: &[
        "doc",
        "--workspace",
        "--no-deps",
        "--config",
        "build.rustdocflags=['-Dwarnings']",
    ],
    images: false,
};
// Never with the ignored ones: in documentation that mark means that an example is not to be run.
const EXAMPLES: Step = Step {
    name: "documentation tests",
    arguments: &["test", "--workspace", "--doc", "--no-fail-fast"],
    images: false,
};

/// How many tests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut steps = vec![FORMATTING, LINTS, DOCUMENTATION];
    if arguments.full {
        steps.extend([ALL_TESTS, EXAMPLES]);
    } else {
        steps.extend([TESTS, EXAMPLES, IMAGES]);
    }
    let mut totals = Totals::default();
    let mut status = ExitCode::SUCCESS;
    let mut left_out = None;
    for step in steps {
        if step.images {
            let built = [Sample::Ctx, Sample::Blocks]
                .into_iter()
                .try_for_each(|sample| sys::driver(sample, false).map(drop));
            match built {
                Ok(()) => {}
                Err(failure @ sys::Failure::Missing(_)) if !arguments.full => {
                    left_out = Some(failure);
                    continue;
                }
                Err(failure) => {
                    eprintln!("error: {failure}");
                    status = ExitCode::from(1);
                    break;
                }
            }
        }
        let command = format!("cargo {}", step.arguments.join(" "));
        say(&format!("==> {}: {command}", step.name));
        let begun = Instant::now();
        let before = totals.failed;
        match step.run(&mut totals) {
            Ok(true) => say(&format!(
                "<== {}: {:.1} s",
                step.name,
                begun.elapsed().as_secs_f64()
            )),
            result => {
                if step.arguments[0] == "test" && totals.failed == before {
                    // A test program that did not compile or died has no line of its own.
                    totals.failed += 1;
                }
                if let Err(error) = result {
                    eprintln!("error: cannot run cargo: {error}");
                }
                eprintln!(
                    "error: {} failed after {:.1} s; to see it again: {command}",
                    step.name,
                    begun.elapsed().as_secs_f64()
                );
                status = ExitCode::from(1);
                break;
            }
        }
    }
    if let Some(why) = left_out {
        say(&format!("not tested: {}; {why}", IMAGES.name));
    }
    say(&format!(
        "{} passed, {} failed",
        totals.passed, totals.failed
    ));
    status
}

impl Step {
    /// Runs the step, shows what it prints while it does, and counts its tests.
    fn run(&self, totals: &mut Totals) -> io::Result<bool> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut child = Command::new(cargo)
            .args(self.arguments)
            .current_dir(crate::repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line)? > 0 {
                let mut terminal = io::stdout().lock();
                // Nobody may be reading; the tests are run all the same.
                let _ = terminal.write_all(&line).and_then(|()| terminal.flush());
                totals.count(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        Ok(child.wait()?.success())
    }
}

impl Totals {
    /// Counts what a line such as `test result: ok. 3 passed; 0 failed; …` says.
    fn count(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        // The first part begins with the verdict: `ok. 3 passed`.
        for part in result.split([';', '.']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }
}

fn say(line: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up_and_other_lines_are_not() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.10s",
            "test 7 passed; 8 failed ... ok",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            totals.count(line);
        }
        assert_eq!(
            totals,
            Totals {
                passed: 14,
                failed: 1
            }
        );
    }
}
