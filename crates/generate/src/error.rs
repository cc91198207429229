//! What can go wrong while a definition is generated.

use std::io;
use std::path::PathBuf;

/// Why a definition could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes' API description is taken from its Go module.
    #[error(
        "the `go` command is not installed or not on the PATH; it is needed to download the \
         Kubernetes module that holds the API description"
    )]
    GoMissing,
    /// The `go` command could not be started for another reason.
    #[error("cannot start `go mod download {module}`")]
    StartGo {
        /// Module and version.
        module: String,
        /// Why.
        source: io::Error,
    },
    /// The module could not be downloaded.
    #[error("`go mod download {module}` failed: {output}")]
    Download {
        /// Module and version.
        module: String,
        /// What the command wrote.
        output: String,
    },
    /// The command's answer has no directory.
    #[error("`go mod download {module}` did not answer with a directory")]
    DownloadAnswer {
        /// Module and version.
        module: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The API description could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// File of the API description.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The API description is not an OpenAPI document.
    #[error("cannot parse the API description")]
    ParseDocument(#[source] serde_json::Error),
    /// The definition's own part, or its YAML form, is malformed.
    #[error("cannot parse the template of the definition")]
    ParseTemplate(#[source] Box<serde_saphyr::Error>),
    /// The definition could not be written as YAML.
    #[error("cannot write the definition as YAML")]
    Write(#[source] serde_saphyr::SerializeError),
    /// A reference points nowhere.
    #[error("no schema {reference} in the API description")]
    UnknownSchema {
        /// The reference, as written.
        reference: String,
    },
    /// A published schema has a keyword or a form that no conversion rule covers.
    #[error("cannot parse schema {name}")]
    ParseSchema {
        /// Name of the schema.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// `allOf` with more than a reference.
    #[error("a schema combines {count} others with allOf; only one is understood")]
    Combined {
        /// Entries of `allOf`.
        count: usize,
    },
}
