//! The command as the build calls it, with a `go` that answers with a fixture.

#![allow(clippy::unwrap_used, reason = "a failing helper fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const MODULE: &str = "k8s.io/kubernetes@v9.8.7";
const DOCUMENT: &str = r##"{"components": {"schemas": {
    "io.k8s.api.core.v1.PodTemplateSpec": {"type": "object", "properties": {
        "metadata": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]}
    }},
    "io.k8s.api.core.v1.PersistentVolumeClaim": {
        "type": "object", "description": "A claim: it's \"long\",\n\n- with a list\n\tand a tab."
    }
}}}"##;

/// A directory with a module in the module cache, and a `go` command that finds it.
fn fixture() -> TempDir {
    let directory = TempDir::new().unwrap();
    let document = directory.path().join("module/api/openapi-spec/v3/api__v1_openapi.json");
    fs::create_dir_all(document.parent().unwrap()).unwrap();
    fs::write(document, DOCUMENT).unwrap();
    let module = directory.path().join("module");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'mod download -json {MODULE}' ] || {{ echo 'no such version' >&2; exit 1; }}\n\
         echo '{{\"Path\": \"k8s.io/kubernetes\", \"Dir\": \"{}\"}}'\n",
        module.display()
    );
    let go = directory.path().join("go");
    fs::write(&go, script).unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn crd(path: &Path, arguments: &[&str]) -> Output {
    generate(path, &[&["crd"], arguments].concat())
}

fn generate(path: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lws-generate"))
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap()
}

fn error(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_written_file_passes_the_check_until_it_is_edited() {
    let directory = fixture();
    let file = directory.path().join("crd.yaml");
    let arguments = ["--kubernetes", "9.8.7", "--file", file.to_str().unwrap()];
    let check = || crd(directory.path(), &[&arguments[..], &["--check"]].concat());

    assert!(error(&check()).contains("cannot read"));
    assert!(crd(directory.path(), &arguments).status.success());
    assert!(check().status.success());

    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("finalizers"), "embedded metadata is expanded");
    let line = written.lines().position(|it| it.contains("maximum: 1000000")).unwrap() + 1;
    fs::write(&file, written.replace("maximum: 1000000", "maximum: 5")).unwrap();
    assert!(error(&check()).contains(&format!("differ from line {line} on")));
}

#[test]
fn a_missing_go_command_is_named() {
    let empty = TempDir::new().unwrap();
    assert!(error(&crd(empty.path(), &[])).contains("the `go` command is not installed"));
}

#[test]
fn a_failed_download_shows_what_the_command_said() {
    let directory = fixture();
    let output = crd(directory.path(), &["--kubernetes", "0.0.1"]);
    let text = error(&output);
    assert!(
        text.contains("`go mod download k8s.io/kubernetes@v0.0.1` failed: no such version"),
        "{text}"
    );
}

#[test]
fn the_page_of_the_guide_is_what_is_written() {
    let nowhere = TempDir::new().unwrap();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api-reference.md");
    let check = |file: &str| generate(nowhere.path(), &["reference", "--check", "--file", file]);
    let output = check(page);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let other = nowhere.path().join("page.md");
    fs::write(&other, "# API\n").unwrap();
    let text = error(&check(other.to_str().unwrap()));
    assert!(text.contains("is not what `lws-generate reference` writes"), "{text}");
}
