//! What the text of an expression shows before polars parses it: no parser, a look that errs on the careful side.

/// Polars follows a chain of operators by recursion, and a stack that overflows cannot be caught.
pub(super) const MAX_OPERATORS: usize = 128;

const SIGNS: &[u8] = b"+-*/%|&<>=~:^#@!?";
const WORDS: [&str; 12] = [
    "and", "or", "xor", "is", "in", "like", "ilike", "rlike", "regexp", "between", "div", "at",
];

/// Operators outside quoted text, rather too many than too few.
pub(super) fn operators(sql: &str) -> usize {
    let plain = sql.split('\'').step_by(2);
    let signs = plain.clone().flat_map(str::bytes).filter(|byte| SIGNS.contains(byte));
    let words = plain.clone().flat_map(|text| text.split(|c: char| !is_part_of_name(c)));
    let words = words.filter(|word| WORDS.iter().any(|operator| word.eq_ignore_ascii_case(operator)));
    let fields = plain.flat_map(|text| text.as_bytes().windows(2));
    let fields = fields.filter(|pair| pair[0] == b'.' && !pair[1].is_ascii_digit());
    signs.count() + words.count() + fields.count()
}

/// Whether the text calls a function of this name.
pub(super) fn calls(sql: &str, function: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let mut found = sql.match_indices(function);
    found.any(|(start, _)| {
        let (before, after) = (&sql[..start], &sql[start + function.len()..]);
        !before.ends_with(is_part_of_name) && after.trim_start().starts_with('(')
    })
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
