//! Job files, links and servers that mean harm: nothing is written outside of the folders of a job, and no secret is said.

mod canary;
mod links;
mod strings;
