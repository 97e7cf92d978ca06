//! What kind of file a `model.pt` is, told from its bytes before libtorch sees them.
//!
//! Most files that are no TorchScript are something else that people save, and the way from there to TorchScript differs. Nothing is
//! unpacked or run here, and whether libtorch can load an archive that looks right is for libtorch to say.

use std::fmt;

/// First bytes of a member of a ZIP archive, of its directory's entries, of its end, and of the two records of a large one.
const MEMBER: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LARGE_LOCATOR: &[u8] = b"PK\x06\x07";
const LARGE_END: &[u8] = b"PK\x06\x06";

/// Bytes of the end without its comment, and the longest comment.
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = 0xffff;

/// Bytes of an entry of the directory before its name.
const ENTRY_BYTES: usize = 46;

/// The header of a safetensors file is JSON, and is longer than this in no model.
const LONGEST_HEADER: u64 = 100 << 20;

/// Bytes that are shown of a file that nobody knows.
const SHOWN: usize = 8;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A ZIP archive with TorchScript's code in it.
    TorchScript,
    /// Nothing.
    Empty,
    /// What `torch.save` writes since PyTorch 1.6: a ZIP archive with a pickle and no code.
    Checkpoint,
    /// A bare pickle, as `torch.save` wrote before, and as pickle and joblib write.
    Pickle,
    /// What `torch.export.save` writes, a `.pt2`.
    Exported,
    /// What `torch-model-archiver` writes for `TorchServe`, a `.mar`.
    Served,
    /// ONNX.
    Onnx,
    /// Safetensors.
    Safetensors,
    /// A ZIP archive without its end.
    CutOff,
    /// A ZIP archive of something else.
    OtherArchive,
    /// Something packed with gzip.
    Gzip,
    /// A page for a browser.
    Html,
    /// An XML document, as stores answer with when they refuse.
    Xml,
    /// What Git keeps in the place of a large file.
    LfsPointer,
    /// None of these; its first bytes.
    Unknown([u8; SHOWN]),
}

impl Kind {
    /// The kind of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        let begins = |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
        if bytes.is_empty() {
            Self::Empty
        } else if bytes.starts_with(MEMBER) || bytes.starts_with(END) {
            archive(bytes)
        } else if begins(b"<!doctype html") || begins(b"<html") {
            Self::Html
        } else if begins(b"<?xml") || begins(b"<error>") {
            Self::Xml
        } else if bytes.starts_with(b"version https://git-lfs") {
            Self::LfsPointer
        } else if bytes.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if is_safetensors(bytes) {
            Self::Safetensors
        } else if matches!(bytes, [0x80, 2..=5, ..]) {
            Self::Pickle
        } else if is_onnx(bytes) {
            Self::Onnx
        } else {
            let mut first = [0; SHOWN];
            first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            Self::Unknown(first)
        }
    }

    /// How it becomes TorchScript, or is had again.
    pub fn way_out(self) -> &'static str {
        match self {
            Self::TorchScript | Self::OtherArchive | Self::Unknown(_) => {
                "export the model with: torch.jit.freeze(torch.jit.script(net.eval())).save(\"model.pt\")"
            }
            Self::Checkpoint | Self::Pickle => {
                "load it in Python where the model's class is, and export it: net.load_state_dict(torch.load(\"checkpoint.pt\")); \
                 torch.jit.freeze(torch.jit.script(net.eval())).save(\"model.pt\")"
            }
            Self::Safetensors => {
                "load it in Python where the model's class is, and export it: net.load_state_dict(safetensors.torch.load_file(\"model.safetensors\")); \
                 torch.jit.freeze(torch.jit.script(net.eval())).save(\"model.pt\")"
            }
            Self::Exported => {
                "export the module once more as TorchScript: torch.jit.trace(torch.export.load(\"model.pt2\").module(), example_inputs).save(\"model.pt\")"
            }
            Self::Served => {
                "it is a ZIP archive with the model in it: unzip it; MAR-INF/MANIFEST.json names the model as `serializedFile`, which must be TorchScript"
            }
            Self::Onnx => {
                "no way leads back from ONNX; export the PyTorch module itself: torch.jit.freeze(torch.jit.script(net.eval())).save(\"model.pt\")"
            }
            Self::Empty | Self::CutOff => {
                "its writing or copying was broken off, or is still going on: copy it again, and write metadata.json last"
            }
            Self::Gzip => "unpack it; what is loaded is the archive itself",
            Self::Html | Self::Xml => {
                "a download was answered with a page instead of the file: fetch it again, with the right to read it"
            }
            Self::LfsPointer => "fetch the file itself with: git lfs pull",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchScript => "a TorchScript archive",
            Self::Empty => "empty",
            Self::Checkpoint => "a checkpoint of torch.save, which holds weights and no code",
            Self::Pickle => "a pickle, which holds weights and no code",
            Self::Exported => "a program of torch.export (.pt2)",
            Self::Served => "an archive for TorchServe (.mar)",
            Self::Onnx => "an ONNX model",
            Self::Safetensors => "a safetensors file, which holds weights and no code",
            Self::CutOff => "a ZIP archive without its end",
            Self::OtherArchive => "a ZIP archive with no TorchScript in it",
            Self::Gzip => "packed with gzip",
            Self::Html => "an HTML page",
            Self::Xml => "an XML document",
            Self::LfsPointer => "a pointer of Git LFS and not the file",
            Self::Unknown(first) => {
                f.write_str("no archive; it starts with the bytes")?;
                return first.iter().try_for_each(|byte| write!(f, " {byte:02x}"));
            }
        })
    }
}

/// The kind of a ZIP archive, by the names of its members.
fn archive(bytes: &[u8]) -> Kind {
    let Some(names) = member_names(bytes) else {
        return Kind::CutOff;
    };
    // All of PyTorch's own lie in one folder, whose name is the file's.
    let inner: Vec<_> = names
        .iter()
        .map(|name| name.split_once('/').map_or(*name, |(_, rest)| rest))
        .collect();
    let has = |wanted: &str| inner.contains(&wanted);
    if names.contains(&"MAR-INF/MANIFEST.json") {
        Kind::Served
    } else if has("constants.pkl") || inner.iter().any(|name| name.starts_with("code/")) {
        Kind::TorchScript
    } else if has("archive_format") || has("models/model.json") || names.contains(&"serialized_exported_program.json") {
        Kind::Exported
    } else if has("data.pkl") {
        Kind::Checkpoint
    } else {
        Kind::OtherArchive
    }
}

/// Names of the members of a ZIP archive by its directory; `None` where it has none.
fn member_names(bytes: &[u8]) -> Option<Vec<&str>> {
    let last = bytes.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(LONGEST_COMMENT);
    let end = (first..=last).rev().find(|at| bytes[*at..].starts_with(END))?;
    let mut at = match number(bytes, end + 16, 4)? {
        0xffff_ffff => large_directory(bytes, end)?,
        offset => usize::try_from(offset).ok()?,
    };
    let mut names = Vec::new();
    while bytes.get(at..)?.starts_with(ENTRY) {
        let [name, extra, comment] = [28, 30, 32].map(|field| number(bytes, at + field, 2));
        let name = usize::try_from(name?).ok()?;
        let start = at + ENTRY_BYTES;
        names.extend(std::str::from_utf8(bytes.get(start..start + name)?));
        at = start + name + usize::try_from(extra? + comment?).ok()?;
    }
    Some(names)
}

/// Where the directory of an archive of more than 4 GiB starts.
fn large_directory(bytes: &[u8], end: usize) -> Option<usize> {
    let locator = end
        .checked_sub(20)
        .filter(|at| bytes[*at..].starts_with(LARGE_LOCATOR))?;
    let record = usize::try_from(number(bytes, locator + 8, 8)?).ok()?;
    bytes.get(record..)?.starts_with(LARGE_END).then_some(())?;
    usize::try_from(number(bytes, record.checked_add(48)?, 8)?).ok()
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

/// The length of a header, and the header, which is JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let length = number(bytes, 0, 8).unwrap_or(0);
    (2..LONGEST_HEADER).contains(&length) && bytes.get(8) == Some(&b'{')
}

/// A message of protocol buffers with the version of ONNX's form first, and then who made it, or the graph.
fn is_onnx(bytes: &[u8]) -> bool {
    // The keys of the fields that follow in files of PyTorch and others: producer_name, producer_version, graph, opset_import.
    matches!(bytes, [0x08, 1..=31, 0x12 | 0x1a | 0x3a | 0x42, ..])
}

#[cfg(test)]
mod tests {
    use super::Kind;

    /// A ZIP archive of empty members, as far as its directory tells.
    fn zip(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directory = Vec::new();
        for name in names {
            let length = u16::try_from(name.len()).unwrap().to_le_bytes();
            bytes.extend(b"PK\x03\x04");
            bytes.extend([0; 22]);
            bytes.extend(length);
            bytes.extend([0; 2]);
            bytes.extend(name.as_bytes());
            directory.extend(b"PK\x01\x02");
            directory.extend([0; 24]);
            directory.extend(length);
            directory.extend([0; 16]);
            directory.extend(name.as_bytes());
        }
        let start = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        bytes.extend(directory);
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0; 12]);
        bytes.extend(start);
        bytes.extend([0; 2]);
        bytes
    }

    #[test]
    fn archives_are_told_apart_by_their_members() {
        let table = [
            (
                &["m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"][..],
                Kind::TorchScript,
            ),
            (
                &["archive/data.pkl", "archive/data/0", "archive/version"],
                Kind::Checkpoint,
            ),
            (&["m/archive_format", "m/models/model.json"], Kind::Exported),
            (&["serialized_exported_program.json", "version"], Kind::Exported),
            (&["MAR-INF/MANIFEST.json", "model.pt", "handler.py"], Kind::Served),
            (&["word/document.xml"], Kind::OtherArchive),
            (&[], Kind::OtherArchive),
        ];
        for (names, kind) in table {
            assert_eq!(Kind::of(&zip(names)), kind, "{names:?}");
        }
    }

    #[test]
    fn archive_that_lost_its_end_is_cut_off() {
        let whole = zip(&["m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"]);
        for end in 4..whole.len() {
            assert_eq!(Kind::of(&whole[..end]), Kind::CutOff, "{end} of {}", whole.len());
        }
    }

    #[test]
    fn other_files_are_told_apart_by_their_first_bytes() {
        let table: [(&[u8], Kind); 14] = [
            (b"", Kind::Empty),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Kind::Pickle),
            (b"\x80\x04\x95\x10\x00", Kind::Pickle),
            (b"\x08\x08\x12\x07pytorch\x1a\x062.11.0", Kind::Onnx),
            (b"\x08\x07:\x10", Kind::Onnx),
            (b"\x40\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"}}", Kind::Safetensors),
            (b"\n <!DOCTYPE HTML><html>", Kind::Html),
            (b"<html><body>403 Forbidden", Kind::Html),
            (
                b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
                Kind::Xml,
            ),
            (b"<Error><Code>NoSuchKey</Code></Error>", Kind::Xml),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
                Kind::LfsPointer,
            ),
            (b"\x1f\x8b\x08", Kind::Gzip),
            (b"PK", Kind::Unknown(*b"PK\0\0\0\0\0\0")),
            (b"not a model", Kind::Unknown(*b"not a mo")),
        ];
        for (bytes, kind) in table {
            assert_eq!(Kind::of(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn directory_that_lies_is_no_panic() {
        let whole = zip(&["m/data.pkl", "m/constants.pkl"]);
        for at in 0..whole.len() {
            for byte in [0, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = Kind::of(&bytes);
            }
        }
    }
}
