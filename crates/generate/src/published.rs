//! What Kubernetes publishes about its own types: the OpenAPI document that ships in its Go
//! module, and where to get that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::schema::Schema;

/// Path of the core group's document in the module.
const DOCUMENT: &str = "api/openapi-spec/v3/api__v1_openapi.json";
/// What references to published schemas begin with.
const POINTER: &str = "#/components/schemas/";

/// The published schemas of one version of Kubernetes, by name.
#[derive(Debug)]
pub struct Published {
    schemas: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Document {
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    schemas: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: PathBuf,
}

impl Published {
    /// The schemas of Kubernetes `version`, such as `1.36.3`. Downloads the Go module unless it is
    /// in the module cache; fails without the `go` command, the network (when it is needed), or
    /// the document.
    pub fn of_version(version: &str) -> Result<Self, Error> {
        let path = module_directory(version)?.join(DOCUMENT);
        let read = |path: &Path| fs::read_to_string(path);
        let document = read(&path).map_err(|source| Error::Read { path, source })?;
        Self::from_document(&document)
    }

    /// The schemas of an OpenAPI v3 document in JSON. Fails when it is not one.
    pub fn from_document(document: &str) -> Result<Self, Error> {
        let document: Document = serde_json::from_str(document).map_err(Error::ParseDocument)?;
        Ok(Self { schemas: document.components.schemas })
    }

    /// The schema that `reference` (a JSON pointer) names, as published. Fails when there is none,
    /// or when it uses a keyword that [`Schema`] does not list.
    pub fn schema(&self, reference: &str) -> Result<Schema, Error> {
        let (name, schema) = reference
            .strip_prefix(POINTER)
            .and_then(|name| self.schemas.get_key_value(name))
            .ok_or_else(|| Error::UnknownSchema { reference: reference.to_owned() })?;
        Schema::deserialize(schema)
            .map_err(|source| Error::ParseSchema { name: name.clone(), source })
    }
}

/// Where the Go module of Kubernetes `version` is on this machine.
fn module_directory(version: &str) -> Result<PathBuf, Error> {
    let module = format!("k8s.io/kubernetes@v{version}");
    let output = match Command::new("go").args(["mod", "download", "-json", &module]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::GoMissing),
        Err(source) => return Err(Error::StartGo { module, source }),
    };
    if !output.status.success() {
        let output = [output.stdout, output.stderr].concat();
        let output = String::from_utf8_lossy(&output).trim().to_owned();
        return Err(Error::Download { module, output });
    }
    serde_json::from_slice(&output.stdout)
        .map(|Module { dir }| dir)
        .map_err(|source| Error::DownloadAnswer { module, source })
}
