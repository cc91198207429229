//! The command that looks whether memory and open files grow, with less work than it has by default.

#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::Command;

#[test]
fn neither_memory_nor_open_files_grow() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lws-bench"));
    command.args(["endurance", "--admissions", "20000", "--reconciles", "2000"]);
    let output = command.output().unwrap();
    let [told, complaints] =
        [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(output.status.success(), "{told}{complaints}");
    assert!(told.trim_end().ends_with("All 6 targets are met."), "{told}");
}
