//! The part of a date's chunks that one process does.

/// Chunks whose number leaves `index` when divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of the process, from 0.
    pub index: usize,
    /// Processes.
    pub of: usize,
}

impl Shard {
    /// Reads `i/N`.
    pub fn parse(text: &str) -> Option<Self> {
        let (index, of) = text.split_once('/')?;
        Self::new(index.parse().ok()?, of.parse().ok()?)
    }

    /// A shard, if there is one of that number.
    pub fn new(index: usize, of: usize) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// True when the chunk is one of its own.
    pub fn owns(self, chunk: usize) -> bool {
        chunk % self.of == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_every_chunk_once() {
        let shards: Vec<_> = (0..3).filter_map(|index| Shard::new(index, 3)).collect();
        for chunk in 0..20 {
            assert_eq!(
                shards.iter().filter(|shard| shard.owns(chunk)).count(),
                1,
                "chunk {chunk}"
            );
        }
    }

    #[test]
    fn only_shards_that_exist_are_read() {
        assert_eq!(Shard::parse("1/3"), Shard::new(1, 3));
        for text in ["3/3", "1", "a/b", "/", "-1/3", "0/0"] {
            assert_eq!(Shard::parse(text), None, "{text}");
        }
    }
}
