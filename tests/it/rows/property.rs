//! Whatever rows are bad and wherever borders fall, the published rows are the good ones in input order and the rejects are the bad ones.

use batch_infer::spec::Reason;

use crate::support::variable;

use super::picky::{Row, expect_published, job, rejected, rejecting, rows, write};

/// Inputs that are made up; more with `BATCH_INFER_PROPERTY_CASES`.
const CASES: u64 = 16;

/// Numbers that look random and are the same each time (Marsaglia's xorshift64*).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % sides
    }
}

/// Spoils a row in one of many ways. The reason that it must be rejected for.
fn spoil(row: &mut Row, how: usize) -> &'static str {
    match how {
        0 => {
            row.key = None;
            "NULL_KEY"
        }
        1 => {
            row.a = None;
            "NULL_FEATURE"
        }
        2 => {
            row.a = Some(f64::NAN);
            "NAN_FEATURE"
        }
        3 => {
            row.b = Some(f64::INFINITY);
            "INF_FEATURE"
        }
        4 => {
            row.v = Some(vec![Some(1.0); 5]);
            "BAD_LIST_LEN"
        }
        5 => {
            row.a = Some(1e200);
            "CAST_OVERFLOW"
        }
        6 => {
            row.r = Some(100.5);
            "OUT_OF_RANGE"
        }
        7 => {
            row.plan = Some("unheard of");
            "UNKNOWN_CATEGORY"
        }
        8 => {
            row.b = Some(777.0);
            "NONFINITE_OUTPUT"
        }
        _ => {
            row.a = Some(666.0);
            "MODEL_ERROR"
        }
    }
}

#[test]
fn good_rows_are_published_in_order_and_bad_ones_rejected() {
    let cases = variable("BATCH_INFER_PROPERTY_CASES");
    let cases = cases.map_or(CASES, |cases| cases.parse().unwrap());
    for seed in 1..=cases {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = 1 + dice.throw(150);
        let mut rows = rows(count);
        let rate = 1 + dice.throw(12);
        let mut bad = Vec::new();
        for (number, row) in rows.iter_mut().enumerate() {
            if dice.throw(rate) == 0 {
                bad.push((number, spoil(row, dice.throw(10))));
            }
        }
        // A model that throws on all rows is another matter.
        if bad.len() == count {
            rows[0] = Row::new(0);
            bad.remove(0);
        }
        let mut job = job()
            .setting("line.chunk_rows", &(1 + dice.throw(60)).to_string())
            .setting("line.batch_rows", &(1 + dice.throw(40)).to_string());
        for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::CorruptFile) {
            job = rejecting(job, reason.name(), 1_000);
        }
        let job = job.job("rows.max_bad_fraction", "1.0");
        let cut = dice.throw(count + 1);
        let group = 1 + dice.throw(70);
        write(&job, "part-00000.parquet", &rows[..cut], group);
        write(&job, "part-00001.parquet", &rows[cut..], group);
        let run = job.run();
        let good = rows
            .iter()
            .enumerate()
            .filter(|(number, _)| !bad.iter().any(|(row, _)| row == number));
        expect_published(&run, good.map(|(_, row)| row));
        let expected: Vec<_> = bad
            .iter()
            .map(|&(row, reason)| {
                (
                    rows[row].key,
                    if row < cut { row } else { row - cut } as u64,
                    reason.to_owned(),
                )
            })
            .collect();
        let found: Vec<_> = rejected(&job)
            .into_iter()
            .map(|(key, row, reason, _)| (key, row, reason))
            .collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}
