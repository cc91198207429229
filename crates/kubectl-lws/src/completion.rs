//! Completion of the command line by shells.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// The script that teaches `shell` to complete the command line.
pub(crate) fn script(shell: Shell) -> String {
    let mut script = match shell {
        Shell::Bash => generate(shell, "kubectl_lws"),
        _ => return generate(shell, "kubectl-lws"),
    };
    // The generator writes a dash of the name of a program in two ways, of which bash finds one only:
    // it is given a name without, and what it has made is bound to the name with the dash.
    script += "\ncomplete -F _kubectl_lws -o bashdefault -o default kubectl-lws\n";
    script
}

fn generate(shell: Shell, program: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), program, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
