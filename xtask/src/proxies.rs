//! nginx and Caddy, for the server's tests: Debian's programs, but not its services, which would take this machine's ports.

use std::path::PathBuf;
use std::process::Command;

use crate::run;
use crate::system;
use crate::workspace;

/// The variable that the tests look at, the package, where its program lies in it, and what only prints its version.
const PROXIES: [(&str, &str, &str, &str); 2] =
    [("ROOMCAM_NGINX", "nginx", "usr/sbin/nginx", "-v"), ("ROOMCAM_CADDY", "caddy", "usr/bin/caddy", "version")];

/// Where they are, as variables. One that cannot be had is said and left out: its test says so as well.
pub(crate) fn fetched() -> Vec<(&'static str, PathBuf)> {
    let installed = |program: &str| system::administration(program.rsplit('/').next().unwrap_or_default());
    let found = PROXIES.into_iter().filter_map(|(variable, package, program, version)| {
        if let Some(named) = std::env::var_os(variable) {
            return Some((variable, PathBuf::from(named)));
        }
        if let Some(installed) = installed(program) {
            return Some((variable, installed));
        }
        let folder = workspace::target().join("proxies").join(package);
        let program = folder.join(program);
        let outcome = if program.exists() { Ok(()) } else { system::unpack(package, &folder) };
        // Its libraries are those that nearly every system has.
        if outcome.is_ok() && run::succeeds(Command::new(&program).arg(version)) {
            return Some((variable, program));
        }
        let reason = outcome.err().map_or_else(|| "it does not start".to_owned(), |error| format!("{error:#}"));
        println!("NOT TESTED: the server behind {package}, which cannot be had: {reason}");
        None
    });
    found.collect()
}
