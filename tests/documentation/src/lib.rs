//! What `docs/` says, for tests that compare it with the programs and try it out.
//!
//! | module | owns |
//! |---|---|
//! | [`tables`] | the tables of a page |
//! | [`page`] | the pages: their blocks, commands, links and headings |

pub mod page;
pub mod tables;

pub use page::{Block, Command, Link, Page, pages, repository};
pub use tables::{cells, messages, says, section};
