//! Random messages for tests: every field gets a value, whatever the version.

use super::{Bytes, Uuid};

/// A stream of random numbers (xorshift) with what a message may contain.
pub struct Source {
    state: u64,
    /// Whether nullable fields may be null.
    pub nulls: bool,
    /// Every second string is one of these, where there are any.
    pub words: &'static [&'static str],
    /// Every second field of bytes is one of these, where there are any.
    pub blobs: Vec<Bytes>,
}

impl Source {
    pub fn new(seed: u64, nulls: bool) -> Source {
        Source { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, nulls, words: &[], blobs: Vec::new() }
    }

    pub fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }
}

pub trait Random {
    fn random(source: &mut Source) -> Self;
}

macro_rules! random_numbers {
    ($($ty:ty),*) => { $(
        impl Random for $ty {
            fn random(source: &mut Source) -> $ty {
                // Small numbers are what length and version checks trip over.
                if source.below(4) == 0 { source.below(3) as $ty } else { source.next() as $ty }
            }
        }
    )* };
}
random_numbers!(i8, i16, u16, i32, u32, i64);

impl Random for f64 {
    fn random(source: &mut Source) -> f64 {
        source.below(1000) as f64 / 8.0
    }
}

impl Random for bool {
    fn random(source: &mut Source) -> bool {
        source.below(2) == 1
    }
}

impl Random for Uuid {
    fn random(source: &mut Source) -> Uuid {
        Uuid((u128::from(source.next()) << 64 | u128::from(source.next())).to_be_bytes())
    }
}

impl Random for String {
    fn random(source: &mut Source) -> String {
        if !source.words.is_empty() && source.below(2) == 0 {
            let at = source.below(source.words.len() as u64) as usize;
            return source.words[at].to_owned();
        }
        let len = source.below(12);
        (0..len).map(|_| char::from_u32(source.below(0x250) as u32 + 0x20).unwrap_or('?')).collect()
    }
}

impl Random for Bytes {
    fn random(source: &mut Source) -> Bytes {
        if !source.blobs.is_empty() && source.below(2) == 0 {
            let at = source.below(source.blobs.len() as u64) as usize;
            return source.blobs[at].clone();
        }
        let len = source.below(12);
        (0..len).map(|_| source.next() as u8).collect()
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(source: &mut Source) -> Vec<T> {
        let len = source.below(4);
        (0..len).map(|_| T::random(source)).collect()
    }
}

impl<T: Random> Random for Option<T> {
    fn random(source: &mut Source) -> Option<T> {
        (!source.nulls || source.below(4) > 0).then(|| T::random(source))
    }
}
