//! Walks structures of Thrift's compact protocol in memory and builds nothing from them.
//!
//! Footers, page headers and page indexes of Parquet are such structures. Their numbers are what a file says of itself, so nothing here is
//! as large as a number: a list has no more elements than there are bytes left, and depth has an end.

/// Structures within structures; Parquet itself needs about six.
const DEEPEST: usize = 32;

/// Bytes of the longest number.
const LONGEST_NUMBER: usize = 10;

/// The type of a field or element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True, false or one byte.
    Flag(bool),
    /// One byte.
    Byte,
    /// An integer of any width.
    Integer,
    /// Eight bytes.
    Double,
    /// Bytes or text.
    Binary,
    /// A list or set.
    List,
    /// A structure.
    Struct,
    /// Sixteen bytes.
    Uuid,
}

impl Kind {
    fn of(nibble: u8) -> Result<Self, &'static str> {
        match nibble {
            1 => Ok(Self::Flag(true)),
            2 => Ok(Self::Flag(false)),
            3 => Ok(Self::Byte),
            4..=6 => Ok(Self::Integer),
            7 => Ok(Self::Double),
            8 => Ok(Self::Binary),
            9 | 10 => Ok(Self::List),
            12 => Ok(Self::Struct),
            13 => Ok(Self::Uuid),
            _ => Err("a field has a type that Parquet does not use"),
        }
    }
}

/// The bytes are no such structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {fault}")]
pub struct Malformed {
    /// Where, from the first byte of the walk.
    pub at: usize,
    /// What is wrong.
    pub fault: &'static str,
}

/// A walk through bytes.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// From the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Bytes that have been walked.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes through the fields of a structure. `field` takes the value of a field and says so, or leaves it to be skipped.
    pub fn structure(
        &mut self,
        field: impl FnMut(&mut Self, i64, Kind) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        self.fields(field)
    }

    /// As `structure`, for a `field` that finds other faults as well.
    pub fn fields<E: From<Malformed>>(
        &mut self,
        mut field: impl FnMut(&mut Self, i64, Kind) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.deeper()?;
        let mut id = 0;
        loop {
            let header = self.byte()?;
            let (delta, kind) = (header >> 4, header & 0x0f);
            if kind == 0 {
                break;
            }
            let kind = Kind::of(kind).map_err(|fault| self.malformed(fault))?;
            id = match delta {
                0 => self.integer()?,
                delta => id.wrapping_add(i64::from(delta)),
            };
            if !field(self, id, kind)? {
                self.skip(kind)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Type and number of the elements of a list that begins here.
    pub fn list(&mut self) -> Result<(Kind, usize), Malformed> {
        let header = self.byte()?;
        // Some writers give an empty list no type.
        if header == 0 {
            return Ok((Kind::Byte, 0));
        }
        let kind = Kind::of(header & 0x0f).map_err(|fault| self.malformed(fault))?;
        let count = match header >> 4 {
            15 => self.number()?,
            short => u64::from(short),
        };
        match usize::try_from(count) {
            Ok(count) if count <= self.left() => Ok((kind, count)),
            _ => Err(self.malformed("a list is longer than what is left")),
        }
    }

    /// A signed integer.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Bytes or text.
    pub fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        let start = self.at;
        self.forward(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(&self.bytes[start..self.at])
    }

    /// A number without a sign.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for byte in 0..LONGEST_NUMBER {
            let next = self.byte()?;
            number |= u64::from(next & 0x7f) << (7 * byte);
            if next & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number has no end"))
    }

    /// Goes over a value.
    pub fn skip(&mut self, kind: Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Flag(_) => Ok(()),
            Kind::Byte => self.forward(1),
            Kind::Integer => self.number().map(|_| ()),
            Kind::Double => self.forward(8),
            Kind::Uuid => self.forward(16),
            Kind::Binary => self.binary().map(|_| ()),
            Kind::List => {
                self.deeper()?;
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    match kind {
                        // Alone a flag is in the type of its field; in a list it is a byte.
                        Kind::Flag(_) => self.forward(1)?,
                        other => self.skip(other)?,
                    }
                }
                self.depth -= 1;
                Ok(())
            }
            Kind::Struct => self.structure(|_, _, _| Ok(false)),
        }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.bytes.get(self.at).copied();
        let byte = byte.ok_or_else(|| self.malformed("the data ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn forward(&mut self, bytes: usize) -> Result<(), Malformed> {
        if bytes > self.left() {
            return Err(self.malformed("a value is longer than what is left"));
        }
        self.at += bytes;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.malformed("structures lie too deep within one another"));
        }
        Ok(())
    }

    fn malformed(&self, fault: &'static str) -> Malformed {
        Malformed { at: self.at, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Walk};

    /// `{1: 21, 2: [true, true], 5: "ab", 6: {1: -3}}`
    const STRUCT: [u8; 15] = [0x15, 42, 0x19, 0x21, 1, 1, 0x38, 2, b'a', b'b', 0x1c, 0x15, 5, 0, 0];

    #[test]
    fn fields_are_found_and_others_skipped() {
        let mut found = Vec::new();
        let mut walk = Walk::new(&STRUCT);
        walk.structure(|walk, id, kind| {
            if kind != Kind::Integer {
                return Ok(false);
            }
            found.push((id, walk.integer()?));
            Ok(true)
        })
        .unwrap();
        assert_eq!(found, [(1, 21)]);
        assert_eq!(walk.position(), STRUCT.len());
    }

    #[test]
    fn every_shorter_form_ends_too_early() {
        for end in 0..STRUCT.len() {
            assert!(Walk::new(&STRUCT[..end]).skip(Kind::Struct).is_err(), "{end}");
        }
    }

    #[test]
    fn claims_that_the_bytes_cannot_hold_are_malformed() {
        // A list of 2^31 elements, a text of as many bytes, a number without end, and structures in structures.
        let list = [0x19, 0xf8, 0x80, 0x80, 0x80, 0x80, 0x08, 0];
        let text = [0x18, 0x80, 0x80, 0x80, 0x80, 0x08, 0];
        let number = [0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let deep = [0x1c; 1_000];
        for bytes in [&list[..], &text, &number, &deep] {
            assert!(Walk::new(bytes).skip(Kind::Struct).is_err());
        }
    }
}
