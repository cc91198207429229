//! Admission through a real API server: every set and every pod takes the way that it takes in a cluster.
//!
//! | module | owns |
//! |---|---|
//! | `sets` | defaults and rules of a `LeaderWorkerSet` |
//! | `pods` | what pods of a group carry after their creation |
//! | `protocol` | what the webhook's port answers to whatever comes in |
//! | `life` | a webhook process: certificate, end, outage |
//! | `outage` | what the API server tells of a webhook that it cannot ask |
//! | `world` | the API server and the webhook that the tests share |
//! | `own_webhook` | further webhook processes, for tests that disturb them |
//! | `service` | how they are reached while replicas change |
//! | `requests` | requests and answers |
//! | `json` | changes of JSON documents |
//! | `cases` | playing the rows of a table |

mod cases;
mod json;
mod life;
mod outage;
mod own_webhook;
mod pods;
mod protocol;
mod requests;
mod service;
mod sets;
mod world;
