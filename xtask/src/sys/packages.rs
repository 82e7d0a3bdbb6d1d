//! Debian packages: which there are, and installing them.

use super::{Failure, say};
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Installs packages, if that is allowed.
pub(super) struct Installer {
    allowed: bool,
    /// Whether the lists were fetched. An old list names an old compiler.
    updated: bool,
}

impl Installer {
    pub(super) fn new(allowed: bool) -> Self {
        Self {
            allowed,
            updated: false,
        }
    }

    /// Fetches the lists of packages, once, if that can be done without asking.
    pub(super) fn update(&mut self) -> Result<(), Failure> {
        if self.allowed && is_root() && exists("apt-get") {
            self.fetch_lists()?;
        }
        Ok(())
    }

    /// Installs `packages`, which are what `purpose` says.
    pub(super) fn install(&mut self, purpose: &str, packages: &[&str]) -> Result<(), Failure> {
        let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
        arguments.extend(packages);
        self.permit(purpose, &packages.join(" "))?;
        self.fetch_lists()?;
        say(&format!("installing {purpose}: {}", packages.join(" ")));
        apt_get(&arguments)?;
        Ok(())
    }

    fn fetch_lists(&mut self) -> Result<(), Failure> {
        if !self.updated {
            say("fetching the lists of packages (apt-get update)");
            apt_get(&["update", "--quiet"])?;
            self.updated = true;
        }
        Ok(())
    }

    /// Whether apt-get may be run: as root, or after asking whoever is there.
    fn permit(&self, purpose: &str, packages: &str) -> Result<(), Failure> {
        let missing = |why: &str| {
            Failure::Missing(format!(
                "{why}, and this is missing: {purpose}\n\
                 As root: apt-get update && apt-get install {packages}"
            ))
        };
        if !self.allowed {
            return Err(missing("--no-install was given"));
        }
        if !exists("apt-get") {
            return Err(missing("there is no apt-get here"));
        }
        if is_root() {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !exists("sudo") {
            return Err(missing("only root can install packages"));
        }
        let mut messages = io::stderr();
        let _ = write!(
            messages,
            "sys: this is missing: {purpose}. Install {packages} with sudo apt-get? [y/N] "
        );
        let _ = messages.flush();
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(missing("nothing was to be installed"))
        }
    }
}

/// The version of `package` that apt-get would install.
pub(super) fn candidate(package: &str) -> Option<String> {
    let output = Command::new("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| format!("cannot run apt-get: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("apt-get {} failed: {status}", arguments.join(" ")))
    }
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program is there.
fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    })
}
