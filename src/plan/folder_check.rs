//! Compares the text of each folder of the path with the type in which it is taken.

use std::collections::HashSet;

use super::accepts::expected;
use super::folders;
use super::footers::{Footer, HIVE_NULL};
use super::kinds::Kind;
use super::mismatch::{Mismatch, Rule};
use super::schema::Check;

impl Check<'_> {
    /// The text of each folder is of the type in which it is taken. One that is not is told once, however many files lie in it.
    pub(super) fn folders(&mut self, footers: &[Footer]) {
        let derived: HashSet<&str> = self.preprocessor.derivation().names().collect();
        let mut seen = HashSet::new();
        for footer in footers {
            for (name, value) in &footer.partition {
                let feature = self
                    .features
                    .get(name.as_str())
                    .filter(|_| !derived.contains(name.as_str()));
                let declared = self.job.path_types.get(name);
                let (Some(text), true) = (value, declared.is_some() || feature.is_some()) else {
                    continue;
                };
                if !seen.insert((name, text)) || folders::is_of(text, &self.folder(name)) {
                    continue;
                }
                let (expected, hint) = match (declared, feature) {
                    (Some(kind), _) => (format!("{kind}, as `input.path_types` declares"), None),
                    (None, Some(feature)) => (
                        expected(feature),
                        Some(format!(
                            "rename the folder, or leave it out of `input.path`; an unknown value is {HIVE_NULL}"
                        )),
                    ),
                    (None, None) => continue,
                };
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    column: name.clone(),
                    expected,
                    found: format!("the folder `{name}={text}`"),
                    rule: Rule::Folder,
                    hint,
                });
            }
        }
    }

    /// Columns whose type the job declares stand in the path of some file.
    pub(super) fn declared(&mut self, kinds: &[Kind<'_>]) {
        let Some(first) = kinds.first() else {
            return;
        };
        for (name, declared) in &self.job.path_types {
            if kinds.iter().any(|kind| kind.is_folder(name)) {
                continue;
            }
            self.mismatches.push(Mismatch {
                file: first.name().to_owned(),
                column: name.clone(),
                expected: format!(
                    "a folder `{name}=...` on the way to it, of type {declared} as `input.path_types` declares"
                ),
                found: "no such folder below the input".to_owned(),
                rule: Rule::Folder,
                hint: self
                    .above(name)
                    .or_else(|| Some("correct the name, or take it out of `input.path_types`".to_owned())),
            });
        }
    }
}
