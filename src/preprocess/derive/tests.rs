//! Derived columns: what an expression gives, on which types, and which expressions are refused.

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use half::f16;

use super::sql::MAX_OPERATORS;
use super::*;
use crate::error::Seam;

fn derivation(sql: &str) -> Result<Derivation, DeriveError> {
    derivations(&[("derived", sql)])
}

fn derivations(columns: &[(&str, &str)]) -> Result<Derivation, DeriveError> {
    let column = |(name, sql): &(&str, &str)| DerivedColumn {
        name: (*name).to_owned(),
        sql: (*sql).to_owned(),
    };
    Derivation::parse(&columns.iter().map(column).collect::<Vec<_>>())
}

/// The column `derived` that an expression gives for a batch.
#[track_caller]
fn derive(sql: &str, batch: &RecordBatch) -> ArrayRef {
    let derived = derivation(sql).and_then(|derivation| derivation.apply(batch));
    let derived = derived.unwrap_or_else(|error| panic!("{sql}: {error}"));
    Arc::clone(derived.column_by_name("derived").unwrap())
}

/// What keeps an expression from giving a column for a batch.
#[track_caller]
fn problem(sql: &str, batch: &RecordBatch) -> DeriveError {
    derivation(sql)
        .and_then(|derivation| derivation.apply(batch))
        .expect_err(sql)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// A column from its values as text, parted by spaces.
fn column(data_type: &DataType, values: &str) -> ArrayRef {
    let values = values.split(' ').map(|value| (value != "null").then_some(value));
    cast(&values.collect::<StringArray>(), data_type).unwrap()
}

/// Seven rows with what is awkward in every type: extremes, zeros, NaN, nulls in different rows.
fn awkward() -> RecordBatch {
    use DataType::*;
    let dictionary = Dictionary(Box::new(Int32), Box::new(Utf8));
    let (texts, unsigned) = (
        "abc  2024-01-02 longer-than-twelve-bytes ünï 7 null",
        "1 0 255 null 7 5 3",
    );
    let instants = "2023-11-14T22:13:20 1970-01-01 1969-12-31T23:59:59.5 null 1970-01-02 2024-03-31T02:30:00 null";
    let decimals = "1.50 -0.01 null 0 999.99 0.03 0.25";
    let columns = [
        ("i8", Int8, "1 -128 127 null 0 5 -1"),
        ("i16", Int16, "1 -32768 32767 null 0 5 -1"),
        ("i32", Int32, "1 -2147483648 null 2147483647 0 5 -1"),
        ("i64", Int64, "null -9223372036854775808 9223372036854775807 3 0 5 -1"),
        ("u8", UInt8, unsigned),
        ("u16", UInt16, unsigned),
        ("u32", UInt32, unsigned),
        ("u64", UInt64, "1 0 18446744073709551615 null 7 5 3"),
        ("f32", Float32, "1.5 NaN 0 null -0.0 0.25 7"),
        ("f64", Float64, "NaN 0 1.5 -3.7 null inf 2"),
        ("flag", Boolean, "true null false true true false null"),
        ("utf8", Utf8, texts),
        ("large_utf8", LargeUtf8, texts),
        ("view", Utf8View, texts),
        ("dictionary", dictionary, texts),
        ("binary", Binary, texts),
        (
            "date",
            Date32,
            "2024-10-04 1970-01-01 1969-12-31 null 1970-01-06 2024-10-03 2019-04-14",
        ),
        ("seconds", Timestamp(TimeUnit::Second, None), instants),
        ("millis", Timestamp(TimeUnit::Millisecond, None), instants),
        ("micros", Timestamp(TimeUnit::Microsecond, None), instants),
        ("nanos", Timestamp(TimeUnit::Nanosecond, None), instants),
        ("decimal", Decimal128(10, 2), decimals),
        ("decimal64", Decimal64(10, 2), decimals),
    ];
    let mut columns: Vec<_> = columns
        .iter()
        .map(|(name, data_type, values)| (*name, column(data_type, values)))
        .collect();
    // arrow does not parse these; it makes them of others.
    let micros = cast(&column(&Timestamp(TimeUnit::Microsecond, None), instants), &Int64).unwrap();
    for (name, zone) in [("utc", "UTC"), ("berlin", "Europe/Berlin"), ("offset", "+02:00")] {
        columns.push((
            name,
            cast(&micros, &Timestamp(TimeUnit::Microsecond, Some(zone.into()))).unwrap(),
        ));
    }
    columns.push((
        "f16",
        cast(&column(&Float32, "1.5 0 NaN null -0.0 0.25 7"), &Float16).unwrap(),
    ));
    columns.extend(awkward_lists());
    batch(columns)
}

fn awkward_lists() -> [(&'static str, ArrayRef); 2] {
    let half = |value: f32| Some(f16::from_f32(value));
    let (one, two) = (Some(vec![Some(1.0)]), Some(vec![None, Some(2.0)]));
    let lists = [one, Some(vec![]), None, two, Some(vec![Some(3.0); 3]), None, None];
    let pairs = [
        Some([half(1.0), half(2.0)]),
        None,
        Some([None, half(0.5)]),
        None,
        Some([half(-1.0); 2]),
        None,
        None,
    ];
    [
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists)),
        ),
        (
            "pair",
            Arc::new(FixedSizeListArray::from_iter_primitive::<Float16Type, _, _>(pairs, 2)),
        ),
    ]
}

/// Row-wise expressions over [`awkward`], none of which fails on it.
const ROW_WISE: &[&str] = &[
    "f32 / nullif(i32, 0)",
    "i32 / i64",
    "i32 // i8",
    "i64 % i32",
    "i8 + i64 * 2",
    "-i64",
    "abs(i32)",
    "u8 - 10",
    "u64 + i64",
    "greatest(f32, f64)",
    "least(f64, f32)",
    "greatest(f64, i32, 3)",
    "least(u8, i16, f32, 0)",
    "greatest(date, micros)",
    "f32 > f64",
    "f64 = f64",
    "f64 >= i32",
    "f64 between 0 and 2",
    "i32 in (1, 5, null)",
    "utf8 in ('abc', '7')",
    "i32 = any([1, 5])",
    "i32 is null",
    "f32 is distinct from f64",
    "not flag",
    "flag and i32 > 0 or f64 < 1",
    "coalesce(f64, f32, 0)",
    "if(flag, i32, f64)",
    "case when f64 > 1 then 'big' when f64 is null then 'none' else utf8 end",
    "case i32 when 1 then 10 when 5 then 50 end",
    "sqrt(f64)",
    "ln(f32)",
    "log(f64, 3)",
    "log1p(i32)",
    "exp(f32)",
    "pow(f64, 3)",
    "pow(f32, f64)",
    "round(f64, 1)",
    "floor(f32)",
    "sign(f64)",
    "sin(f64)",
    "atan2(f32, f64)",
    "f64 * pi()",
    "try_cast(utf8 as int)",
    "try_cast(f64 as int)",
    "try_cast(utf8 as date)",
    "cast(i32 as double)",
    "cast(decimal as float)",
    "decimal * 2",
    "decimal + decimal64",
    "i64::text",
    "f64::text",
    "utf8 || i32",
    "concat(utf8, '-', i32)",
    "length(utf8)",
    "upper(view)",
    "substr(utf8, 2, 3)",
    "substr(utf8, i32)",
    "left(utf8, u8)",
    "reverse(utf8)",
    "replace(utf8, 'a', 'b')",
    "lpad(utf8, 5, '0')",
    "trim(utf8)",
    "split_part(utf8, '-', 2)",
    "strpos(utf8, 'b')",
    "utf8 like '%b%'",
    "regexp_like(utf8, '^[a-z]+$')",
    "starts_with(utf8, dictionary)",
    "utf8 = dictionary",
    "greatest(utf8, 'm')",
    "extract(hour from micros)",
    "extract(hour from berlin)",
    "date_part('dow', date)",
    "extract(epoch from seconds)",
    "micros - millis",
    "date + interval '1 month'",
    "strftime(date, '%Y-%m')",
    "date >= date '2020-01-01'",
    "micros < timestamp '2020-01-01 00:00:00'",
    "extract(hour from offset)",
    "extract(week from date)",
    "micros + interval '1 hour'",
    "f64 % f32",
    "f64 // f32",
    "trunc(f64)",
    "cbrt(f32)",
    "log(f64, f32)",
    "round(decimal, 1)",
    "concat_ws('|', utf8, large_utf8)",
    "octet_length(utf8)",
    "utf8 ~ '^a'",
    "string_to_array(utf8, '-')",
    "array_mean(list)",
    "array_upper(list)",
    "array_length(list)",
    "array_to_string(list, ',')",
    "array_sum(list)",
    "list[1]",
    "array_contains(list, 2.0)",
    "1",
    "'constant'",
    "pi()",
];

/// Expressions that look at more than one row, and what is said to do so.
const NOT_ROW_WISE: &[(&str, &str)] = &[
    ("sum(f32)", "sum"),
    ("avg(f32)", "avg"),
    ("min(f32)", "min"),
    ("f32 / max(f32)", "max"),
    ("count(*)", "count"),
    ("count(f32)", "count"),
    ("count(distinct utf8)", "count(distinct)"),
    ("median(f32)", "median"),
    ("stddev(f32)", "stddev"),
    ("variance(f32)", "variance"),
    ("quantile_cont(f32, 0.5)", "quantile"),
    ("first(f32)", "first"),
    ("last(f32)", "last"),
    ("corr(f32, f64)", "pearson_correlation"),
    ("sum(f32) filter (where flag)", "sum"),
    ("avg(f32) over (partition by utf8)", "over"),
    ("sum(f32) over (order by i32)", "over"),
    ("row_number() over (order by i32)", "over"),
    ("lag(f32) over (order by i32)", "over"),
    ("first_value(f32) over (order by i32)", "over"),
    ("Last_Value (f32) OVER (order by i32)", "last_value"),
    ("abs(f32) over (partition by utf8)", "over"),
    ("array_agg(f32)", "array_agg"),
    ("unnest(list)", "unnest"),
    ("f32 > all([1, 2])", "max"),
    ("f32 > any(f64)", "min"),
    ("string_agg(utf8, ',')", "array_agg"),
    ("date(utf8)", "str.strptime"),
    ("case when f32 > avg(f32) then 1 else 0 end", "avg"),
    ("sum(1)", "sum"),
];

/// Texts that are refused before anything is known about rows.
const NO_EXPRESSION: &[&str] = &[
    "",
    "f32 +",
    "f32; drop table rows",
    "select f32 from rows",
    "f32, f64",
    "f32 in (select f32 from rows)",
    "(select max(f32) from rows)",
    "exists (select 1)",
    "random()",
    "rand()",
    "uuid()",
    "now()",
    "current_timestamp",
    "rank() over (order by f32)",
    "no_such_function(f32)",
    "regexp_like(utf8, 'open)",
    "round(f64, -1)",
    "array_unique(list)",
    "array_reverse(list)",
    "*",
    "rows.*",
    "99999999999999999999",
];

#[test]
fn a_row_gives_the_same_whatever_its_neighbours() {
    let batch = awkward();
    let rows = batch.num_rows();
    for sql in ROW_WISE {
        let derivation = derivation(sql).unwrap();
        let derived = |first, rows| {
            derivation
                .apply(&batch.slice(first, rows))
                .unwrap()
                .columns()
                .last()
                .unwrap()
                .to_data()
        };
        let whole = derived(0, rows);
        for (first, end) in (0..=rows).flat_map(|first| (first..=rows).map(move |end| (first, end))) {
            let rows = end - first;
            assert_eq!(
                whole.slice(first, rows),
                derived(first, rows),
                "{sql}: {rows} rows from {first}"
            );
        }
    }
}

#[test]
fn what_looks_at_more_than_one_row_is_refused_by_name() {
    for (sql, expected) in NOT_ROW_WISE {
        match derivation(sql) {
            Err(DeriveError::NotRowWise { column, function }) => {
                assert_eq!((column.as_str(), function.as_str()), ("derived", *expected), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn the_hint_says_that_chunks_are_scored_separately() {
    let error = derivation("amount - avg(amount)").unwrap_err();
    assert_eq!(
        error.to_string(),
        "derived column `derived`: `avg` looks at more than one row"
    );
    let hint =
        "chunks are scored separately, so `avg` would be computed per chunk; put its result into the input instead";
    assert_eq!(error.hint().as_deref(), Some(hint));
    assert_eq!(error.column(), "derived");
}

#[test]
fn a_date_without_its_format_is_refused_and_with_it_is_read() {
    let hint = derivation("date(day)").unwrap_err().hint().unwrap();
    assert!(hint.contains("date(x, '%Y-%m-%d')"), "{hint}");
    let days = batch(vec![(
        "day",
        Arc::new(StringArray::from(vec![Some("2024-01-02"), None])),
    )]);
    let expected: ArrayRef = Arc::new(Date32Array::from(vec![Some(19_724), None]));
    assert_eq!(&derive("date(day, '%Y-%m-%d')", &days), &expected);
}

#[test]
fn text_that_is_no_expression_is_refused() {
    for sql in NO_EXPRESSION {
        assert!(matches!(derivation(sql), Err(DeriveError::Syntax { .. })), "{sql}");
    }
    for sql in [
        "columns('^f.*$')",
        "\"^f.*$\"",
        "columns(*) + 1",
        "greatest(columns('f'))",
    ] {
        assert!(matches!(derivation(sql), Err(DeriveError::ManyColumns { .. })), "{sql}");
    }
}

#[test]
fn a_chain_of_operators_cannot_overflow_the_stack() {
    let chain = |first: &str, next: &str, links: usize| first.to_owned() + &next.repeat(links);
    // Test threads have a quarter of the stack of those that evaluate expressions.
    let thread = std::thread::Builder::new().stack_size(8 << 20);
    let longest = thread.spawn(move || derive(&chain("i32", "+i32", MAX_OPERATORS), &awkward()));
    let longest = longest.unwrap().join().unwrap();
    assert_eq!(longest.data_type(), &DataType::Int32);
    for (first, next) in [
        ("i32", "+i32"),
        ("(flag)", "and(flag)"),
        ("i32", "::int"),
        ("i32", ".x"),
        ("i32", " is null"),
        ("utf8", " like 'a'"),
        ("", "("),
        ("", "abs("),
        ("", "not "),
        ("", "case when "),
        ("", "["),
    ] {
        let sql = chain(first, next, 100_000);
        assert!(
            matches!(derivation(&sql), Err(DeriveError::Syntax { .. })),
            "{first}{next}"
        );
    }
}

#[test]
fn types_survive_the_way_to_polars_and_back() {
    let batch = awkward();
    for field in batch.schema().fields() {
        let expected = match field.data_type() {
            DataType::Float16 => DataType::Float32,
            DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..) => DataType::LargeUtf8,
            DataType::Binary => DataType::LargeBinary,
            DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            DataType::Timestamp(unit, Some(zone)) if &**zone == "+02:00" => {
                DataType::Timestamp(*unit, Some("Etc/GMT-2".into()))
            }
            DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
            DataType::List(item) => DataType::LargeList(Arc::clone(item)),
            DataType::FixedSizeList(item, width) => {
                let item = item.as_ref().clone().with_data_type(DataType::Float32);
                DataType::FixedSizeList(Arc::new(item), *width)
            }
            other => other.clone(),
        };
        let sql = format!("\"{}\"", field.name());
        for rows in [batch.clone(), batch.slice(1, 5), batch.slice(3, 1), batch.slice(7, 0)] {
            let column = rows.column_by_name(field.name()).unwrap();
            let derived = derive(&sql, &rows);
            assert_eq!(derived.data_type(), &expected, "{sql}");
            assert_eq!(&derived, &cast(column, &expected).unwrap(), "{sql}");
        }
    }
}

#[test]
fn types_are_told_before_anything_is_computed() {
    let batch = awkward();
    for sql in ROW_WISE {
        let derivation = derivation(sql).unwrap();
        let fields = derivation.output_fields(&batch.schema()).unwrap();
        let derived = derivation.apply(&batch).unwrap();
        assert_eq!(&fields[0], derived.schema().fields().last().unwrap().as_ref(), "{sql}");
    }
}

#[test]
fn expressions_that_do_not_fit_the_types_are_refused_before_anything_is_computed() {
    let schema = awkward().schema();
    for sql in [
        "utf8 + 1",
        "utf8 > 3",
        "date >= '2020-01-01'",
        "i32 | f64",
        "utf8 / 2",
        "f32.x",
        "regexp_like(utf8, '[')",
        "cast('x' as int)",
        "null",
    ] {
        let error = derivation(sql).unwrap().output_fields(&schema).expect_err(sql);
        assert!(matches!(error, DeriveError::Mistyped { .. }), "{sql}: {error}");
    }
}

#[test]
fn columns_that_polars_does_not_know_are_named_with_their_type() {
    let wide = Decimal256Array::from(vec![arrow::datatypes::i256::ONE])
        .with_precision_and_scale(40, 2)
        .unwrap();
    let months = IntervalYearMonthArray::from(vec![1]);
    let rows = batch(vec![("wide", Arc::new(wide)), ("months", Arc::new(months))]);
    for (sql, found) in [
        ("wide * 2", "`wide` of type `Decimal256(40, 2)`"),
        ("months", "`months` of type `Interval(YearMonth)`"),
    ] {
        let error = problem(sql, &rows);
        assert!(matches!(error, DeriveError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[test]
fn awkward_arithmetic_is_a_value_or_an_error_and_never_a_panic() {
    let rows = awkward();
    let value = |sql: &str, row: usize| arrow::util::display::array_value_to_string(&derive(sql, &rows), row).unwrap();
    assert_eq!(value("i32 / 0", 0), "inf");
    assert_eq!(value("i32 / 0", 4), "NaN");
    assert_eq!(
        (value("i32 // 0", 0), value("i32 % 0", 0)),
        (String::new(), String::new())
    );
    assert_eq!(value("i8 + 1", 2), "-128");
    assert_eq!(value("u8 - 1", 1), "255");
    assert_eq!(value("i64 * i64", 1), "0");
    assert_eq!(value("greatest(f32, f64)", 1), "NaN");
    assert_eq!(value("least(f32, f64)", 1), "0.0");
    for sql in [
        "cast(utf8 as int)",
        "cast(f64 as int)",
        "decimal / 0",
        "pow(i64, 100)",
        "strftime(micros, '%Q')",
        "lpad(utf8, i32)",
    ] {
        let error = problem(sql, &rows);
        assert!(matches!(error, DeriveError::Failed { .. }), "{sql}: {error}");
    }
}

#[test]
fn a_derived_column_may_use_an_earlier_one() {
    let rows = batch(vec![
        ("amount", Arc::new(Float64Array::from(vec![10.0, 9.0]))),
        ("items", Arc::new(Int32Array::from(vec![4, 0]))),
    ]);
    let columns = [
        ("each", "amount / nullif(items, 0)"),
        ("fee", "2"),
        ("dear", "each > fee"),
    ];
    let derivation = derivations(&columns).unwrap();
    assert_eq!(derivation.required_columns(), ["amount", "items"]);
    assert_eq!(derivation.names().collect::<Vec<_>>(), ["each", "fee", "dear"]);
    let derived = derivation.apply(&rows).unwrap();
    assert_eq!(
        derived
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        ["amount", "items", "each", "fee", "dear"]
    );
    assert_eq!(
        derived.column(4).as_boolean(),
        &BooleanArray::from(vec![Some(true), None])
    );
}

#[test]
fn derived_columns_are_unambiguous() {
    let error = |columns: &[(&str, &str)]| derivations(columns).unwrap_err().to_string();
    assert_eq!(
        error(&[("a", "b"), ("a", "c")]),
        "derived column `a`: the name stands twice"
    );
    assert_eq!(
        error(&[("a", "b + 1"), ("b", "c")]),
        "derived column `a`: reads `b` before it is derived"
    );
    assert_eq!(
        error(&[("amount", "amount * 2")]),
        "derived column `amount`: reads `amount` before it is derived"
    );
    assert_eq!(
        error(&[("a", "b as c")]),
        "derived column `a`: its expression calls the result `c`"
    );
    assert!(derivations(&[("a", "b as a")]).is_ok());
    let rows = batch(vec![
        ("amount", Arc::new(Int32Array::from(vec![1]))),
        ("derived", Arc::new(Int32Array::from(vec![1]))),
    ]);
    assert_eq!(
        problem("amount", &rows).to_string(),
        "derived column `derived`: the input has a column of that name"
    );
    let error = problem("2 * amuont", &rows.project(&[0]).unwrap());
    assert_eq!(
        error.to_string(),
        "derived column `derived`: reads `amuont`, which the input does not have"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean `amount`?"));
}

#[test]
fn files_of_different_types_get_expressions_of_their_own() {
    let derivation = derivation("x * 2").unwrap();
    let small = batch(vec![("x", Arc::new(Int16Array::from(vec![3])))]);
    let large = batch(vec![
        ("y", Arc::new(Int8Array::from(vec![0]))),
        ("x", Arc::new(Float64Array::from(vec![1.5]))),
    ]);
    for _ in 0..2 {
        assert_eq!(
            derivation
                .apply(&small)
                .unwrap()
                .column(1)
                .as_primitive::<Int16Type>()
                .value(0),
            6
        );
        assert_eq!(
            derivation
                .apply(&large)
                .unwrap()
                .column(2)
                .as_primitive::<Float64Type>()
                .value(0)
                .to_bits(),
            3.0_f64.to_bits()
        );
    }
}

#[test]
fn no_expressions_leave_a_batch_as_it_is() {
    let derivation = Derivation::parse(&[]).unwrap();
    assert!(derivation.is_empty());
    assert_eq!(derivation.apply(&awkward()).unwrap(), awkward());
}

#[test]
fn constants_need_no_input_column() {
    let rows = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(3)),
    )
    .unwrap();
    assert_eq!(
        derive("7", &rows).as_primitive::<Int32Type>(),
        &Int32Array::from(vec![7; 3])
    );
    assert_eq!(derive("7", &rows.slice(0, 0)).len(), 0);
}

#[test]
fn no_thread_of_polars_wakes() {
    let rows = awkward();
    let derivation = derivations(&ROW_WISE.iter().map(|sql| (*sql, *sql)).collect::<Vec<_>>()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| drop(derivation.apply(&rows).unwrap())));
        }
    });
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    let awake: Vec<String> = names.filter(|name| name.starts_with("polars")).collect();
    assert!(awake.is_empty(), "{awake:?}");
}
