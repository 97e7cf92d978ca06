//! How much memory a span can take once decoded, found out before it is decoded.
//!
//! Footers and page headers are claims, but what they claim is also what the decoder makes room for, so it is an upper bound. The file's size
//! is none: a few bytes can stand for a million rows, and one long value of a dictionary for each of them.

use arrow::datatypes::DataType;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use super::SpanBytes;
use super::error::{Fault, TooLarge};
use super::inside::{self, LongestRow};
use super::page::{Content, Encoded, Held, Page, pages};
use crate::plan::{InputFile, Plan};

/// Bytes of the offset of a text, or of a null beside a value.
const OFFSET_BYTES: u64 = 8;

/// Bytes of a value's two levels, kept where columns are nested.
const LEVEL_BYTES: u64 = 4;

/// What a decimal becomes at most.
const DECIMAL_BYTES: u64 = 32;

/// The smaller part of the limit that pages may take beside what is decoded from them.
const SHARE_OF_PAGES: u64 = 8;

/// How often larger than the bytes that were fetched pages may be without a further look.
const USUAL_RATIO: u64 = 4;

/// What a span can take.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Bytes of all its columns.
    pub(super) decoded: u64,
    /// The same by what the footer states of texts, where it states that of all of them. It may be wrong.
    pub(super) stated: Option<u64>,
    /// Bytes of a row, about; of its texts where they are long.
    pub(super) row: u64,
    /// The column that takes most.
    pub(super) largest: String,
    most: u64,
}

/// Why there is no bound that can be kept.
pub(super) enum Excess {
    /// A page cannot be.
    Fault(Fault),
    /// A column takes more than the limit, whatever is done.
    Column(String, TooLarge),
}

impl From<Fault> for Excess {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Finds the bound of a span. `limit` is what anything of it may take at a time.
pub(super) fn of(plan: &Plan, bytes: &SpanBytes, limit: u64) -> Result<Bound, Excess> {
    let (file, span) = (&plan.files[bytes.span.file], &bytes.span);
    let held = &Held::new(&bytes.ranges, &bytes.bytes);
    let group = file.metadata.metadata().row_group(span.row_group);
    let is_whole = file.row_group_rows(span.row_group) == span.rows.len();
    let room = limit / SHARE_OF_PAGES + held.size().saturating_mul(USUAL_RATIO);
    let mut bound = Bound {
        stated: is_whole.then_some(0),
        ..Bound::default()
    };
    let mut in_pages: u64 = 0;
    for leaf in file.leaves() {
        let column = group.column(leaf);
        let name = || column.column_path().string();
        let pages = pages(held, column, span.rows.len())?;
        let dictionary = pages.iter().filter(|page| page.content == Content::Dictionary);
        let dictionary = dictionary.map(|page| page.uncompressed).max().unwrap_or(0);
        in_pages = in_pages.saturating_add(dictionary).saturating_add(largest(&pages));
        if in_pages > room {
            return Err(Excess::Column(name(), TooLarge::Pages(room)));
        }
        let look = Look {
            held,
            column,
            pages: &pages,
            rows: span.rows.len() as u64,
            arrow: decoded_type(plan, file, leaf),
            room,
        };
        look.believable()?;
        let takes = look.takes(limit)?;
        if takes.total > bound.most {
            (bound.most, bound.largest) = (takes.total, name());
        }
        if takes.row > limit {
            return Err(Excess::Column(name(), TooLarge::Row(limit)));
        }
        bound.decoded = bound.decoded.saturating_add(takes.total);
        bound.row = bound.row.saturating_add(takes.row);
        bound.stated = bound
            .stated
            .zip(takes.stated)
            .map(|(all, stated)| all.saturating_add(stated));
    }
    Ok(bound)
}

/// The type that a column has once decoded: a dictionary only where no other file makes texts of it.
fn decoded_type<'a>(plan: &'a Plan, file: &'a InputFile, leaf: usize) -> &'a DataType {
    let root = file.metadata.parquet_schema().get_column_root_idx(leaf);
    let Some(field) = file.schema().fields().get(root) else {
        return &DataType::Null;
    };
    let planned = plan.columns.types.get(file.own_names.planned(field.name()));
    match field.data_type() {
        DataType::Dictionary(..) => planned.unwrap_or(field.data_type()),
        found => found,
    }
}

fn largest(pages: &[Page]) -> u64 {
    let data = pages.iter().filter(|page| page.content != Content::Dictionary);
    data.map(|page| page.uncompressed).max().unwrap_or(0)
}

/// What a column takes: all of it at most, all of it by the footer, and one row.
struct Takes {
    total: u64,
    stated: Option<u64>,
    row: u64,
}

impl Takes {
    const NOTHING: Self = Self {
        total: 0,
        stated: Some(0),
        row: 0,
    };
}

/// One column of a span.
struct Look<'a> {
    held: &'a Held,
    column: &'a ColumnChunkMetaData,
    pages: &'a [Page],
    rows: u64,
    arrow: &'a DataType,
    /// Bytes that a page may have.
    room: u64,
}

impl Look<'_> {
    /// Refuses pages for which a decoder would make more room than their bytes can fill.
    fn believable(&self) -> Result<(), Fault> {
        for page in self.pages {
            if inside::bursts(self.held, self.column, page, self.room)? {
                let claim = format!("it is larger than the {} bytes that it claims", page.uncompressed);
                return Err(self.fault(page, claim));
            }
            let prefixes = page.encoded == Encoded::DeltaPrefix;
            match page.content {
                Content::Dictionary if page.values > page.uncompressed / self.fewest_bytes() => {
                    let claim = format!("{} values do not fit into its {} bytes", page.values, page.uncompressed);
                    return Err(self.fault(page, claim));
                }
                Content::Data | Content::DataV2
                    if (prefixes || page.encoded == Encoded::DeltaLength)
                        && inside::counts_too_many(self.held, self.column, page, prefixes)? =>
                {
                    let claim = format!("it claims more lengths than its {} values", page.values);
                    return Err(self.fault(page, claim));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fault(&self, page: &Page, claim: String) -> Fault {
        Fault::Page {
            column: self.column.column_path().string(),
            offset: page.offset,
            claim,
        }
    }

    /// The fewest bytes that a value in a dictionary has.
    fn fewest_bytes(&self) -> u64 {
        match self.column.column_type() {
            Type::BYTE_ARRAY => 4,
            _ => self.width().max(1),
        }
    }

    /// Bytes of a value of fixed width.
    fn width(&self) -> u64 {
        match self.column.column_type() {
            Type::BOOLEAN => 1,
            Type::INT32 | Type::FLOAT => 4,
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::BYTE_ARRAY => 0,
            Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(self.column.column_descr().type_length()).unwrap_or(0),
        }
    }

    fn takes(&self, limit: u64) -> Result<Takes, Fault> {
        let descriptor = self.column.column_descr();
        let stated = self.data().map(|page| page.values).fold(0, u64::saturating_add);
        let values = match self.arrow {
            // A list of fixed size has its values even where it is null.
            DataType::FixedSizeList(_, size) => stated.max(self.rows.saturating_mul(u64::try_from(*size).unwrap_or(0))),
            _ if descriptor.max_rep_level() > 0 => stated.max(self.rows),
            _ => self.rows,
        };
        let levels = if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 {
            LEVEL_BYTES
        } else {
            0
        };
        let (width, texts) = match self.column.column_type() {
            Type::BYTE_ARRAY => {
                let texts = self.texts(values, limit)?;
                (OFFSET_BYTES, texts)
            }
            Type::FIXED_LEN_BYTE_ARRAY => (self.width().saturating_add(DECIMAL_BYTES), Takes::NOTHING),
            _ => (self.width(), Takes::NOTHING),
        };
        let value = width + levels;
        let apart = values.saturating_mul(value);
        let total = apart.saturating_add(texts.total);
        let in_row = match (descriptor.max_rep_level(), self.arrow) {
            (0, _) => 1,
            (_, DataType::FixedSizeList(_, size)) => u64::try_from(*size).unwrap_or(0),
            // What all rows may take together one of them may take, too.
            _ if total <= limit => values.div_ceil(self.rows.max(1)),
            _ => self.longest_row()?,
        };
        Ok(Takes {
            total,
            stated: texts.stated.map(|stated| apart.saturating_add(stated)),
            row: value.saturating_add(texts.row).saturating_mul(in_row),
        })
    }

    /// The most values that a row of a list has.
    fn longest_row(&self) -> Result<u64, Fault> {
        let mut longest = LongestRow::default();
        for page in self.data() {
            longest.add(self.held, self.column, page)?;
        }
        Ok(longest.most().max(1))
    }

    fn data(&self) -> impl Iterator<Item = &Page> {
        let pages = self.pages.iter();
        pages.filter(|page| matches!(page.content, Content::Data | Content::DataV2))
    }

    /// Bytes of texts.
    fn texts(&self, values: u64, limit: u64) -> Result<Takes, Fault> {
        let stays =
            matches!(self.arrow, DataType::Dictionary(..)) && self.data().all(|page| page.encoded == Encoded::Indexes);
        let dictionary = self.pages.iter().find(|page| page.content == Content::Dictionary);
        let mut total: u64 = 0;
        let mut row = 0;
        let mut indexes: u64 = 0;
        for page in self.data() {
            match page.encoded {
                Encoded::Indexes => indexes = indexes.saturating_add(page.values),
                // Each value may be all that stands before it.
                Encoded::DeltaPrefix => {
                    total = total.saturating_add(page.values.saturating_mul(page.uncompressed));
                    row = page.uncompressed.max(row);
                }
                Encoded::DeltaLength | Encoded::Plainly => {
                    total = total.saturating_add(page.uncompressed);
                    row = page.uncompressed.div_ceil(page.values.max(1)).max(row);
                }
            }
        }
        if let Some(page) = dictionary {
            let indexes = indexes.min(values);
            let longest = match indexes.saturating_mul(page.uncompressed) {
                _ if stays => 0,
                little if little <= limit / SHARE_OF_PAGES => page.uncompressed,
                _ => inside::longest_value(self.held, self.column, page)?,
            };
            total = total
                .saturating_add(indexes.saturating_mul(longest))
                .saturating_add(page.uncompressed);
            row = longest.max(row);
        }
        let stated = self.column.unencoded_byte_array_data_bytes();
        let stated = stated.and_then(|stated| u64::try_from(stated).ok());
        Ok(Takes {
            total,
            stated: if stays { Some(total) } else { stated },
            row,
        })
    }
}
