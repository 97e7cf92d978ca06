//! Carried columns for which Spark refuses the whole data set.
//!
//! Tried with Apache Spark 4.3.0: each of these types in one column makes `spark.read.parquet` fail, also where the column is not asked for.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use serde::Serialize;

use super::as_written;

/// A column that Spark does not open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedBySpark {
    /// Its path.
    pub column: String,
    /// What of it is refused.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The columns among those that are carried that Spark does not open.
pub fn refused_by_spark<'a>(carried: impl Iterator<Item = &'a FieldRef>) -> Vec<RefusedBySpark> {
    let mut found = Vec::new();
    for field in carried {
        look(field.name(), &as_written(field.data_type()), &mut found);
    }
    found
}

fn look(path: &str, kind: &DataType, found: &mut Vec<RefusedBySpark>) {
    let refused = match kind {
        DataType::Float16 => "FLOAT16",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "TIMESTAMP in nanoseconds",
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => return look(&format!("{path}.{}", field.name()), field.data_type(), found),
        DataType::Struct(fields) => {
            for field in fields {
                look(&format!("{path}.{}", field.name()), field.data_type(), found);
            }
            return;
        }
        _ => return,
    };
    found.push(RefusedBySpark {
        column: path.to_owned(),
        kind: refused,
    });
}
