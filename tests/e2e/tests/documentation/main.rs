//! What the documentation shows is true: every manifest is applied, every command of the quick start is typed.

mod commands;
mod manifests;
mod scheduler;
mod sources;
mod world;
