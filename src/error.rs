//! The error at the top of the program: any seam's error with the exit code and the way out that the seam chose.
//!
//! A seam is a place where something outside can fail; its errors live in its own file and say there, in an exhaustive
//! `match`, how the process ends. So a variant without an exit code does not compile. This file knows no seam, and it
//! makes text but does not print it: `main` does, once.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use crate::exit::ExitCode;
use crate::visible;

/// Columns of a report that points into files: wide enough for our lines, narrow enough for a terminal split in two.
const REPORT_WIDTH: usize = 110;

/// An error that knows how the process should end because of it.
pub trait Seam: std::error::Error + Send + Sync + 'static {
    /// The exit code, by an exhaustive `match`.
    fn exit(&self) -> ExitCode;

    /// What to do about it, where that is known.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The same error as problems that point into files, where there are any.
    fn diagnostic(&self) -> Option<&dyn Diagnostic> {
        None
    }
}

/// What `run` returns when it fails; made from any seam's error by `?`.
pub struct Error(Box<dyn Seam>);

impl<E: Seam> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl Error {
    /// How the process ends.
    pub fn exit(&self) -> ExitCode {
        self.0.exit()
    }

    /// The report for a person at a terminal.
    pub fn coloured(&self) -> String {
        self.report(GraphicalTheme::unicode())
    }

    /// The report for a machine.
    pub fn to_json(&self) -> Value {
        let related = self.0.diagnostic().and_then(Diagnostic::related);
        let problems: Vec<Value> = related.map_or_else(Vec::new, |all| all.map(problem_json).collect());
        json!({
            "error": self.0.to_string(),
            "causes": self.causes(),
            "hint": self.0.hint(),
            "problems": problems,
            "exit_code": self.exit().code(),
            "reason": self.exit().meaning(),
        })
    }

    fn causes(&self) -> Vec<String> {
        causes(self.0.as_ref())
    }

    fn report(&self, theme: GraphicalTheme) -> String {
        let mut text = format!("error: {}", visible::lines(&self.0.to_string()));
        for cause in self.causes() {
            text.push_str("\n  caused by: ");
            text.push_str(&visible::lines(&cause).replace('\n', "\n    "));
        }
        let handler = GraphicalReportHandler::new_themed(theme).with_width(REPORT_WIDTH);
        for problem in self.0.diagnostic().and_then(Diagnostic::related).into_iter().flatten() {
            let mut rendered = String::new();
            handler
                .render_report(&mut rendered, problem)
                .expect("writing to a string cannot fail");
            text.push('\n');
            for line in rendered.trim_end().lines() {
                text.push('\n');
                text.push_str(line.trim_end());
            }
        }
        if let Some(hint) = self.0.hint() {
            text.push_str("\n  hint: ");
            text.push_str(&visible::lines(&hint).replace('\n', "\n    "));
        }
        text
    }
}

/// Messages of the errors below one, without those that the one above already says.
pub fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string().trim_end().to_owned();
        if !said.contains(&text) {
            causes.push(text.clone());
            said = text;
        }
        next = cause.source();
    }
    causes
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report(GraphicalTheme::unicode_nocolor()))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}\n  exit code: {}", self.exit())
    }
}

fn problem_json(problem: &dyn Diagnostic) -> Value {
    let label = problem.labels().and_then(|mut labels| labels.next());
    let place = problem.source_code().zip(label.as_ref());
    let place = place.and_then(|(source, label)| source.read_span(label.inner(), 0, 0).ok());
    json!({
        "message": problem.to_string(),
        "hint": problem.help().map(|help| help.to_string()),
        "file": place.as_ref().and_then(|place| place.name().map(str::to_owned)),
        "line": place.as_ref().map(|place| place.line() + 1),
        "column": place.as_ref().map(|place| place.column() + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::{Error, Seam};
    use crate::exit::ExitCode;

    #[derive(Debug, thiserror::Error)]
    enum StoreError {
        #[error("reach `{place}`")]
        Refused { place: String, source: std::io::Error },
    }

    impl Seam for StoreError {
        fn exit(&self) -> ExitCode {
            match self {
                Self::Refused { .. } => ExitCode::StoragePermission,
            }
        }

        fn hint(&self) -> Option<String> {
            match self {
                Self::Refused { .. } => Some("check the credentials".to_owned()),
            }
        }
    }

    fn refused() -> Error {
        let fail = || -> Result<(), Error> {
            Err(StoreError::Refused {
                place: "s3://bucket/x".to_owned(),
                source: std::io::Error::other("403 Forbidden\nrequest 7"),
            })?;
            Ok(())
        };
        fail().unwrap_err()
    }

    #[test]
    fn report_shows_error_causes_and_hint() {
        insta::assert_snapshot!(refused(), @r"
        error: reach `s3://bucket/x`
          caused by: 403 Forbidden
            request 7
          hint: check the credentials
        ");
        assert_eq!(refused().exit(), ExitCode::StoragePermission);
    }

    #[test]
    fn json_report_carries_the_exit_code() {
        let json = refused().to_json();
        assert_eq!(json["exit_code"], 21);
        assert_eq!(json["causes"][0], "403 Forbidden\nrequest 7");
        assert_eq!(json["problems"], serde_json::json!([]));
    }
}
