//! Makes a mutant: one to three injuries to one file, most of them where a reader looks for numbers.

use std::io::Write;
use std::ops::Range;
use std::sync::OnceLock;

use batch_infer::guard::guarded;
use batch_infer::thrift::Kind;
use fastrand::Rng;
use parquet::basic::Compression;

use crate::anatomy::{Anatomy, Leaf, PagePlace, checksum, number, written};

/// Numbers at which arithmetic goes wrong.
const EXTREMES: [i64; 18] = [
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    65_535,
    1 << 20,
    1 << 24,
    1 << 30,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

/// Paths in the footer to offsets into the file: of a column chunk, its indexes, and its pages.
const OFFSETS: [&[i64]; 7] = [
    &[4, -1, 1, -1, 2],
    &[4, -1, 1, -1, 4],
    &[4, -1, 1, -1, 6],
    &[4, -1, 1, -1, 3, 9],
    &[4, -1, 1, -1, 3, 10],
    &[4, -1, 1, -1, 3, 11],
    &[4, -1, 5],
];

/// Path in the footer to the bytes of a column chunk.
const CHUNK_BYTES: &[i64] = &[4, -1, 1, -1, 3, 7];

/// A damaged file.
pub(crate) struct Mutant {
    pub(crate) bytes: Vec<u8>,
    /// What was done to it.
    pub(crate) injuries: Vec<&'static str>,
    /// Whether checksums were made to fit again.
    pub(crate) mended: bool,
}

/// Makes the mutant of a file.
pub(crate) fn mutant(file: &Anatomy, others: &[Anatomy], chance: &mut Rng) -> Mutant {
    let injuries = chance.usize(1..=3);
    let mended = file.crc && chance.bool();
    let mut hurt = file.clone();
    let mut done = Vec::new();
    for _ in 0..injuries {
        // The places of an earlier injury's file may lie outside of what is left; then this one cannot be done.
        let before = hurt.clone();
        let injured = guarded(|| {
            let name = injure(&mut hurt, others, chance);
            if mended {
                mend(&mut hurt);
            }
            name
        });
        match injured {
            Ok(name) => done.push(name),
            Err(_) => hurt = before,
        }
    }
    Mutant {
        bytes: hurt.bytes,
        injuries: done,
        mended,
    }
}

fn injure(file: &mut Anatomy, others: &[Anatomy], chance: &mut Rng) -> &'static str {
    let page = chance.choice(&file.pages).cloned();
    match (chance.u8(0..19), page) {
        (0, _) => {
            let place = file.footer.clone();
            flip(&mut file.bytes, place, chance);
            "bits of the footer"
        }
        (1, Some(page)) => {
            flip(&mut file.bytes, page.header, chance);
            "bits of a page header"
        }
        (2 | 3, Some(page)) => {
            flip(&mut file.bytes, page.body, chance);
            "bits of a page"
        }
        (4 | 5, Some(page)) => {
            // Levels, counts, bit widths, lengths and the frames of compression stand at the beginning.
            let end = page.body.end.min(page.body.start + 16);
            flip(&mut file.bytes, page.body.start..end, chance);
            "the first bytes of a page"
        }
        (6, _) => {
            let place = 0..file.bytes.len();
            flip(&mut file.bytes, place, chance);
            "bits anywhere"
        }
        (7, _) => {
            let length = chance.usize(0..file.bytes.len().max(1));
            file.bytes.truncate(length);
            "cut off"
        }
        (8, _) => {
            let start = chance.usize(0..file.bytes.len().max(1));
            let end = (start + chance.usize(1..400)).min(file.bytes.len());
            file.bytes.drain(start..end);
            "a piece lost"
        }
        (9, _) => {
            let at = chance.usize(0..=file.bytes.len());
            let more: Vec<u8> = (0..chance.usize(1..64)).map(|_| chance.u8(..)).collect();
            file.bytes.splice(at..at, more);
            "a piece added"
        }
        (10, _) => {
            let other = &chance.choice(others).expect("there are files").bytes;
            let from = chance.usize(0..other.len());
            let length = chance.usize(1..500).min(other.len() - from);
            let at = chance.usize(0..file.bytes.len().max(1));
            let end = (at + length).min(file.bytes.len());
            file.bytes
                .splice(at..end, other[from..from + (end - at)].iter().copied());
            "a piece of another file"
        }
        (11 | 12, _) => edit_footer(file, chance),
        (13 | 14, Some(page)) => edit_header(file, &page, chance),
        (15, Some(page)) => swap(file, &page, chance),
        (16, Some(page)) => {
            let place = page.body;
            let Some(bytes) = file.bytes.get_mut(place) else {
                return "nothing";
            };
            let from = chance.usize(0..=bytes.len());
            bytes[from..].fill(if chance.bool() { 0 } else { 0xff });
            "the rest of a page wiped"
        }
        (17, Some(page)) => burst(file, &page, chance),
        _ => {
            let tail = file.bytes.len().saturating_sub(8);
            let length = u32::try_from(*chance.choice(&EXTREMES).expect("some") & 0xffff_ffff).expect("32 bits");
            if let Some(place) = file.bytes.get_mut(tail..tail + 4) {
                place.copy_from_slice(&length.to_le_bytes());
            }
            "the length of the footer"
        }
    }
}

/// Flips one to eight bits that lie close together or apart.
fn flip(bytes: &mut [u8], place: Range<usize>, chance: &mut Rng) {
    let Some(bytes) = bytes.get_mut(place).filter(|bytes| !bytes.is_empty()) else {
        return;
    };
    for _ in 0..chance.usize(1..=8) {
        let at = chance.usize(0..bytes.len());
        bytes[at] ^= 1 << chance.u8(0..8);
        if chance.bool() {
            break;
        }
    }
}

/// Another number, length or count for one that stands there.
fn other(old: i64, chance: &mut Rng) -> i64 {
    match chance.u8(0..4) {
        0 => old.wrapping_add(chance.i64(-3..=3)),
        1 => old.wrapping_mul(1 << chance.u32(1..33)),
        _ => *chance.choice(&EXTREMES).expect("some"),
    }
}

fn edited(bytes: &[u8], leaf: &Leaf, chance: &mut Rng) -> Option<Vec<u8>> {
    let old = bytes.get(leaf.place.clone())?;
    Some(match leaf.kind {
        Kind::Integer => written(other(number(bytes, leaf), chance)),
        Kind::List => {
            // The long form of a list's head, with another count.
            let kind = old[0] & 0x0f;
            let count = other(i64::from(old[0] >> 4), chance).unsigned_abs();
            let mut head = vec![0xf0 | kind];
            let mut rest = count;
            while rest > 0x7f {
                head.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
                rest >>= 7;
            }
            head.push(u8::try_from(rest).expect("seven bits"));
            head
        }
        _ => {
            let mut other = old.to_vec();
            let place = 0..other.len();
            flip(&mut other, place, chance);
            other
        }
    })
}

fn edit_footer(file: &mut Anatomy, chance: &mut Rng) -> &'static str {
    let Some(leaf) = chance.choice(&file.leaves).cloned() else {
        return "nothing";
    };
    if let Some(new) = edited(&file.bytes, &leaf, chance) {
        replace(file, leaf.place, &new);
    }
    "a value of the footer"
}

fn edit_header(file: &mut Anatomy, page: &PagePlace, chance: &mut Rng) -> &'static str {
    // Earlier injuries may have left no header there.
    let whole = file.bytes.len() > page.body.end;
    let leaves = guarded(|| file.header(page)).unwrap_or_default();
    if let (true, Some(leaf)) = (whole, chance.choice(&leaves))
        && let Some(new) = edited(&file.bytes, leaf, chance)
    {
        replace(file, leaf.place.clone(), &new);
    }
    "a value of a page header"
}

/// Puts other bytes into a file and keeps the rest true: offsets behind, the size of the column chunk, the length of the footer.
fn replace(file: &mut Anatomy, place: Range<usize>, new: &[u8]) {
    let Some(old) = file.bytes.get(place.clone()).map(<[u8]>::len) else {
        return;
    };
    let grown = i64::try_from(new.len()).expect("small") - i64::try_from(old).expect("small");
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = vec![(place.clone(), new.to_vec())];
    if grown != 0 && place.start < file.footer.start {
        let chunk = file
            .pages
            .iter()
            .find(|page| page.header.contains(&place.start) || page.body.contains(&place.start));
        let mut sizes = 0;
        for leaf in &file.leaves {
            let is_size = leaf.path == CHUNK_BYTES;
            sizes += usize::from(is_size);
            let behind = || number(&file.bytes, leaf) > i64::try_from(place.start).expect("small");
            let own = is_size && chunk.is_some_and(|page| page.chunk + 1 == sizes);
            if own || OFFSETS.contains(&leaf.path.as_slice()) && behind() {
                edits.push((
                    leaf.place.clone(),
                    written(number(&file.bytes, leaf).wrapping_add(grown)),
                ));
            }
        }
    }
    edits.sort_by_key(|(place, _)| place.start);
    let in_footer = |place: &Range<usize>| place.start >= file.footer.start && place.end <= file.footer.end;
    let longer: i64 = edits
        .iter()
        .filter(|(place, _)| in_footer(place))
        .map(|(place, new)| i64::try_from(new.len()).expect("small") - i64::try_from(place.len()).expect("small"))
        .sum();
    let length = i64::try_from(file.footer.len()).expect("small") + longer;
    for (place, new) in edits.into_iter().rev() {
        file.bytes.splice(place, new);
    }
    let tail = file.bytes.len().saturating_sub(8);
    if let (Some(place), Ok(length)) = (file.bytes.get_mut(tail..tail + 4), u32::try_from(length)) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    // What comes after this injury goes by the new places, if the file can still be taken apart.
    let bytes = file.bytes.clone();
    if let Ok(new) = guarded(|| Anatomy::of(bytes)) {
        *file = new;
    }
}

/// Two pages of a column change places, or two bodies under the headers of one another.
fn swap(file: &mut Anatomy, page: &PagePlace, chance: &mut Rng) -> &'static str {
    let same = |other: &&PagePlace| other.chunk == page.chunk && other.header.start > page.header.start;
    let Some(other) = file.pages.iter().rfind(same).cloned() else {
        return "nothing";
    };
    if file.bytes.len() < other.body.end {
        return "nothing";
    }
    let take = |place: &PagePlace, whole: bool| {
        if whole {
            place.header.start..place.body.end
        } else {
            place.body.clone()
        }
    };
    let whole = chance.bool();
    let (first, second) = (take(page, whole), take(&other, whole));
    let mut new = file.bytes[second.clone()].to_vec();
    new.extend_from_slice(&file.bytes[first.end..second.start]);
    new.extend_from_slice(&file.bytes[first.clone()]);
    file.bytes.splice(first.start..second.end, new);
    "two pages swapped"
}

/// Bytes that a page holds which says that it holds others.
const BURST: usize = 160 << 20;

/// A page is hundreds of megabytes large, as its header says or not.
fn burst(file: &mut Anatomy, page: &PagePlace, chance: &mut Rng) -> &'static str {
    static ZEROS: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    let [gzip, brotli, zstd] = ZEROS.get_or_init(zeros);
    let body = match page.codec {
        Compression::GZIP(_) => gzip,
        Compression::BROTLI(_) => brotli,
        Compression::ZSTD(_) => zstd,
        _ => return "nothing",
    };
    let leaves = file.header(page);
    let value = |path: &[i64]| leaves.iter().find(|leaf| leaf.path == path);
    // Levels of version 2 stand before what is compressed.
    let levels = [[8, 5], [8, 6]].iter().filter_map(|path| value(path));
    let levels: i64 = levels.map(|leaf| number(&file.bytes, leaf)).sum();
    let levels = usize::try_from(levels).unwrap_or(0);
    let mut new = file.bytes[page.header.clone()].to_vec();
    let body = [&file.bytes[page.body.start..page.body.start + levels], body].concat();
    let stated = if chance.bool() {
        number(&file.bytes, value(&[2]).expect("a size"))
    } else {
        (BURST + levels).try_into().expect("small")
    };
    for (path, size) in [([3], body.len().try_into().expect("small")), ([2], stated)] {
        let place = &value(&path).expect("a size").place;
        new.splice(
            place.start - page.header.start..place.end - page.header.start,
            written(size),
        );
    }
    new.extend(body);
    replace(file, page.header.start..page.body.end, &new);
    "a page of zeros"
}

/// Zeros by gzip, Brotli and zstd.
fn zeros() -> [Vec<u8>; 3] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 1, 22);
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("a level");
    let piece = vec![0; 1 << 20];
    for _ in 0..BURST / piece.len() {
        gzip.write_all(&piece).expect("memory");
        brotli.write_all(&piece).expect("memory");
        zstd.write_all(&piece).expect("memory");
    }
    [
        gzip.finish().expect("memory"),
        brotli.into_inner(),
        zstd.finish().expect("memory"),
    ]
}

/// Makes the checksums fit what the pages hold now.
fn mend(file: &mut Anatomy) {
    for page in file.pages.clone() {
        let Some(body) = file.bytes.get(page.body.clone()) else {
            continue;
        };
        let sum = i64::from(crc32fast::hash(body).cast_signed());
        let place = guarded(|| checksum(&file.bytes, &page)).ok().flatten();
        let Some(place) = place else { continue };
        // A number may be written longer than it need be, so nothing moves unless it must.
        let mut new = written(sum);
        while new.len() < place.place.len() {
            *new.last_mut().expect("a number has a byte") |= 0x80;
            new.push(0);
        }
        if number(&file.bytes, &place) != sum {
            let grows = new.len() > place.place.len();
            replace(file, place.place, &new);
            if grows {
                return;
            }
        }
    }
}
