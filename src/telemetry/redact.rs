//! Masks what must not be written: credentials in URLs, query strings, `X-Amz-*` values, bearer tokens, key ids and the
//! secrets that the caller knows.
//!
//! It takes text and gives the same text with `***` in those places. It knows the shapes of credentials and nothing of what
//! the text says, and where it is in doubt it masks: a log line that says less is cheaper than a leaked key.

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Stands where something was.
pub const MASK: &str = "***";

/// Secrets shorter than this are not looked for: they would tear ordinary words apart and hide nothing.
const SHORTEST_SECRET_BYTES: usize = 4;

/// A word after "bearer" is a token from this length on, or from `SHORTEST_SECRET_BYTES` with a digit in it.
const BEARER_TOKEN_BYTES: usize = 8;

/// What follows `AKIA` or `ASIA` in a key id has at least this length.
const KEY_ID_BYTES: usize = 16;

/// Knows what to mask. Clones share it. It has no `Debug`, because it holds secrets.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, each also in its JSON spelling where that differs.
    secrets: Arc<[String]>,
}

impl Redactor {
    /// Makes a redactor that also masks these values wherever they stand.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() < SHORTEST_SECRET_BYTES {
                continue;
            }
            let quoted = serde_json::Value::from(secret).to_string();
            let inner = &quoted[1..quoted.len() - 1];
            if inner != secret {
                all.push(inner.to_owned());
            }
            all.push(secret.to_owned());
        }
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self { secrets: all.into() }
    }

    /// Gives the text without its secrets, and the text itself where it has none.
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut spans = Vec::new();
        urls(text, &mut spans);
        amazon_values(text, &mut spans);
        bearer_tokens(text, &mut spans);
        key_ids(text, &mut spans);
        for secret in &*self.secrets {
            spans.extend(text.match_indices(secret).map(|(at, _)| at..at + secret.len()));
        }
        cut_secrets(text, &self.secrets, &mut spans);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        spans.sort_by_key(|span| span.start);
        let mut clean = String::with_capacity(text.len());
        let mut done = 0;
        for span in spans {
            // A span that touches the one before shares its mask.
            if span.start > done || clean.is_empty() {
                clean.push_str(&text[done..span.start]);
                clean.push_str(MASK);
            }
            done = done.max(span.end);
        }
        clean.push_str(&text[done..]);
        Cow::Owned(clean)
    }
}

/// User-info and query strings of URLs.
fn urls(text: &str, spans: &mut Vec<Range<usize>>) {
    for (colon, separator) in text.match_indices("://") {
        let start = colon + separator.len();
        let url = &text[start..];
        let url = &url[..url.find(ends_url).unwrap_or(url.len())];
        if let Some(at) = user_info(url) {
            spans.push(start..start + at);
        }
        let Some((before, query)) = url.split_once('?') else {
            continue;
        };
        let query = query.trim_end_matches([')', ']', '}', ',', '.', ';', ':']);
        // In a path with a pattern, such as `s3://bucket/part-?.parquet`, the question mark begins no query.
        let web = text[..colon].ends_with("http") || text[..colon].ends_with("https");
        if !query.is_empty() && (web || query.contains('=')) {
            let query_start = start + before.len() + 1;
            spans.push(query_start..query_start + query.len());
        }
    }
}

/// Length of the user-info before the `@`. A password with a raw slash in it looks like a port that is no number.
fn user_info(url: &str) -> Option<usize> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = authority.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { None } else { url.rfind('@') }
}

fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || matches!(letter, '"' | '\'' | '`' | '<' | '>' | '\\')
}

/// Values of `X-Amz-*` parameters and headers, in URLs, header lists and debug output.
fn amazon_values(text: &str, spans: &mut Vec<Range<usize>>) {
    for start in positions(text, "x-amz-") {
        let rest = text[start..].trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '-');
        let rest = rest.trim_start_matches(is_quote_or_space);
        let Some(rest) = rest.strip_prefix([':', '=']) else {
            continue;
        };
        let rest = rest.trim_start_matches(is_quote_or_space);
        let value = rest.find(ends_value).unwrap_or(rest.len());
        push(text, rest, value, spans);
    }
}

fn is_quote_or_space(letter: char) -> bool {
    matches!(letter, ' ' | '"' | '\'' | '\\')
}

fn ends_value(letter: char) -> bool {
    ends_url(letter) || matches!(letter, '&' | ',' | ';' | ')' | ']' | '}')
}

/// The words after "bearer".
fn bearer_tokens(text: &str, spans: &mut Vec<Range<usize>>) {
    for start in positions(text, "bearer") {
        let after = &text[start + "bearer".len()..];
        let rest = after.trim_start_matches(|letter| is_quote_or_space(letter) || matches!(letter, ':' | '='));
        let token = rest.find(|letter: char| {
            !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '.' | '_' | '~' | '+' | '/' | '=')
        });
        let token = &rest[..token.unwrap_or(rest.len())];
        let has_digit = token.bytes().any(|byte| byte.is_ascii_digit());
        let shortest = if has_digit {
            SHORTEST_SECRET_BYTES
        } else {
            BEARER_TOKEN_BYTES
        };
        if rest.len() < after.len() && token.len() >= shortest {
            push(text, rest, token.len(), spans);
        }
    }
}

/// Key ids, of which the first four letters say only the kind and stay.
fn key_ids(text: &str, spans: &mut Vec<Range<usize>>) {
    for prefix in ["AKIA", "ASIA"] {
        for (start, _) in text.match_indices(prefix) {
            let rest = &text[start + prefix.len()..];
            let id = rest
                .bytes()
                .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let id = id.count();
            if id >= KEY_ID_BYTES {
                push(text, rest, id, spans);
            }
        }
    }
}

/// Secrets whose end was cut off with the text that they stood in, before the dots that say so.
fn cut_secrets(text: &str, secrets: &[String], spans: &mut Vec<Range<usize>>) {
    for (end, _) in text.match_indices("...") {
        let before = &text.as_bytes()[..end];
        for secret in secrets {
            let lengths = (SHORTEST_SECRET_BYTES..secret.len().min(end + 1)).rev();
            let cut = lengths.map(|length| end - length);
            let mut cut = cut.filter(|start| before[*start..] == secret.as_bytes()[..end - start]);
            spans.extend(cut.find(|start| text.is_char_boundary(*start)).map(|start| start..end));
        }
    }
}

/// Adds the first bytes of a tail of the text.
fn push(text: &str, tail: &str, bytes: usize, spans: &mut Vec<Range<usize>>) {
    let start = text.len() - tail.len();
    if bytes > 0 {
        spans.push(start..start + bytes);
    }
}

/// Where an ASCII word stands, whatever its case.
fn positions<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let windows = text.as_bytes().windows(word.len()).enumerate();
    windows
        .filter(|(_, window)| window.eq_ignore_ascii_case(word.as_bytes()))
        .map(|(at, _)| at)
}

/// Makes writers that mask before they write.
#[derive(Clone)]
pub struct Redacting<W> {
    inner: W,
    redactor: Redactor,
}

impl<W> Redacting<W> {
    /// Puts a redactor before a writer.
    pub fn new(inner: W, redactor: Redactor) -> Self {
        Self { inner, redactor }
    }
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Redacting<W> {
    type Writer = RedactingWriter<'w, W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        RedactingWriter {
            inner: self.inner.make_writer(),
            redactor: &self.redactor,
        }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Self::Writer {
        RedactingWriter {
            inner: self.inner.make_writer_for(metadata),
            redactor: &self.redactor,
        }
    }
}

/// Masks each write. A log line comes in one write, so a secret is never cut in two.
pub struct RedactingWriter<'w, W> {
    inner: W,
    redactor: &'w Redactor,
}

impl<W: Write> Write for RedactingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.inner.write_all(self.redactor.clean(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
