//! Signals to a process: this test, started again.
#![allow(clippy::unwrap_used, reason = "a failure ends the test")]
#![allow(clippy::print_stdout, reason = "this is how the two processes talk")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use lws_runtime::shutdown;

const CHILD: &str = "LWS_RUNTIME_TEST_CHILD";

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    if std::env::var_os(CHILD).is_some() {
        return serve();
    }
    for first in ["-TERM", "-INT"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "the_first_signal_asks_and_the_second_ends"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = |text: &str| lines.find(|line| line.as_ref().unwrap() == text).unwrap();
        wait_for("waiting").unwrap();
        signal(&child, first);
        wait_for("stopping").unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        signal(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = shutdown::on_signal().unwrap();
        println!("waiting");
        shutdown.cancelled().await;
        println!("stopping");
        std::future::pending::<()>().await;
    });
}
